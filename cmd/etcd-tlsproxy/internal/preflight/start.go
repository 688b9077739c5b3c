// Package preflight checks what a configuration needs of this machine: addresses and logs
// that a start opens, rights, files and the time. serve and check-config both use it.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// CheckStart reports what would keep a process from starting with this configuration,
// although a running one could reload it: the addresses and the logs, which it opens only
// at its start. If the service manager passes sockets, it uses them instead of the
// addresses. With bind it also listens on the addresses for a moment.
func CheckStart(ctx context.Context, c *config.Config, doc *config.Document, bind bool) error {
	errs := doc.NewErrors()
	checkLogFile(errs, c.Log.Access, "log", "access")
	checkLogFile(errs, c.Log.Audit, "log", "audit")
	if activated() {
		return errs.Err()
	}
	listen := checkListen(ctx, errs, c.Listen, "listen")
	admin := checkListen(ctx, errs, c.Admin, "admin")
	if overlap(listen, admin) {
		errs.Add(fmt.Sprintf("the address %s is also that of listen, %s", c.Admin, c.Listen), "give the two different ports", "admin")
	}
	if errs.Err() != nil || !bind {
		return errs.Err()
	}
	for key, address := range map[string]string{"listen": c.Listen, "admin": c.Admin} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			errs.Add(err.Error(), "if the address is in use: the service itself may be running, which --start is not for", key)
			continue
		}
		defer listener.Close()
	}
	return errs.Err()
}

// activated reports whether the service manager passes sockets to this process.
func activated() bool {
	pid, err := strconv.Atoi(os.Getenv("LISTEN_PID"))
	return err == nil && pid == os.Getpid() && os.Getenv("LISTEN_FDS") != "0"
}

// lookupTimeout bounds the lookup of a host in an address.
const lookupTimeout = 5 * time.Second

// checkListen checks an address whose form is valid, and returns the addresses that it
// stands for.
func checkListen(ctx context.Context, errs *config.Errors, address string, key string) []netip.AddrPort {
	host, text, err := net.SplitHostPort(address)
	port, err2 := strconv.ParseUint(text, 10, 16)
	if err := errors.Join(err, err2); err != nil {
		panic("BUG: the configuration was checked: " + err.Error())
	}
	if lowest := unprivilegedPort(); port != 0 && int(port) < lowest && !mayBind() {
		errs.Add(fmt.Sprintf("port %d is below %d, and this process lacks the right to listen on it", port, lowest),
			"choose another port, use a socket unit of systemd, or give the service CAP_NET_BIND_SERVICE", key)
	}
	if host == "" {
		host = "::"
	}
	ip, err := netip.ParseAddr(host)
	ips := []netip.Addr{ip}
	if err != nil {
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			errs.Add(fmt.Sprintf("the host %q has no address: %v", host, err), "write an IP address of this machine, or correct the name", key)
			return nil
		}
	}
	var all []netip.AddrPort
	for _, ip := range ips {
		ip = ip.Unmap()
		if wrong := notHere(ip); wrong != "" {
			errs.Add(wrong, "write an address of this machine, as ip address lists them", key)
		}
		all = append(all, netip.AddrPortFrom(ip, uint16(port)))
	}
	return all
}

// notHere says why this machine cannot listen on an address, or returns "".
func notHere(ip netip.Addr) string {
	if zone := ip.Zone(); zone != "" {
		if _, err := net.InterfaceByName(zone); err != nil {
			return fmt.Sprintf("the zone of %s is not a network interface of this machine", ip)
		}
	} else if ip.Is6() && ip.IsLinkLocalUnicast() {
		return fmt.Sprintf("the address %s needs a zone, as in [%[1]s%%eth0]:4001", ip)
	}
	here, err := net.InterfaceAddrs()
	if err != nil || ip.IsUnspecified() || ip.IsLoopback() || nonlocal() {
		return "" // if the list is unknown, listening will show it
	}
	same := func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == ip.WithZone("")
	}
	if slices.ContainsFunc(here, same) {
		return ""
	}
	return fmt.Sprintf("this machine does not have the address %s", ip)
}

// overlap reports whether two listeners would collide.
func overlap(a, b []netip.AddrPort) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Port() == y.Port() && x.Port() != 0 && (x.Addr() == y.Addr() || covers(x.Addr(), y.Addr()) || covers(y.Addr(), x.Addr())) {
				return true
			}
		}
	}
	return false
}

// covers reports whether listening on all addresses includes another one. All IPv6
// addresses include those of IPv4.
func covers(all, one netip.Addr) bool { return all.IsUnspecified() && (all.Is6() || one.Is4()) }

// unprivilegedPort returns the first port on which everyone may listen.
func unprivilegedPort() int {
	return number("/proc/sys/net/ipv4/ip_unprivileged_port_start", 1024)
}

// nonlocal reports whether the system lets processes listen on addresses of others.
func nonlocal() bool {
	return number("/proc/sys/net/ipv4/ip_nonlocal_bind", 0)+number("/proc/sys/net/ipv6/ip_nonlocal_bind", 0) > 0
}

func number(file string, fallback int) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return fallback
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fallback
	}
	return n
}

// checkLogFile checks that a log can be opened, without creating it.
func checkLogFile(errs *config.Errors, path string, key ...string) {
	if !config.IsLogFile(path) {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		errs.Add(path+" is a folder", "name a file", key...)
	case err == nil:
		if err := unix.Access(path, unix.W_OK); err != nil {
			errs.Add(fmt.Sprintf("%s cannot be written: %v", path, err), "let the service's user write to the file, or name another one", key...)
		}
	default:
		if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
			errs.Add(fmt.Sprintf("%s cannot be created: %v", path, err), "create its folder and let the service's user write there, or name another file", key...)
		}
	}
}
