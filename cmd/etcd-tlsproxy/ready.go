package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/explain"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/internal/usage"
)

func newReady() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Check that the running proxy is ready",
		Long: `Asks the proxy on this machine at its admin address whether it is ready for clients. A
container has no other program that could probe it. The address is that of the
configuration, unless --admin gives a URL. With --etcd the proxy is ready only if an
etcd is up and has a leader; a load balancer should not use that, because then all
proxies leave it together.

The exit status is 0 if the proxy is ready, and 1 if not.`,
		Example: `  etcd-tlsproxy ready
  etcd-tlsproxy ready --admin https://conf1001.example.org:4002 --ca-file /etc/ssl/certs/ca.pem --etcd`,
		Args: console.Arguments,
	}
	file := flags.Config(cmd)
	f := cmd.Flags()
	admin := f.String("admin", "", "`URL` of the admin address (default: from the configuration)")
	etcd := f.Bool("etcd", false, "also require an etcd that is up and has a leader")
	c := cluster.Connection{}
	f.StringVar(&c.CA, "ca-file", "", "PEM `file` to verify an https URL with (default: the system's CAs)")
	f.StringVar(&c.User, flags.LoginAlias, "", "`name` of the user, if the admin address has users")
	f.StringVar(&c.PasswordFile, "password-file", "", "`file` whose first line is the user's password")
	console.DurationVar(f, &c.Timeout, "timeout", 5*time.Second, "maximum duration of the request")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		url := *admin
		if url == "" {
			var err error
			if url, err = adminURL(*file); err != nil {
				return err
			}
		}
		if _, err := explain.ParseAdmin(url); err != nil {
			return usage.Mark(fmt.Errorf("--admin: %w", err))
		}
		c.Endpoints = []string{url}
		path := "/-/ready"
		if *etcd {
			path += "?etcd"
		}
		status, text, err := c.Get(cmd.Context(), path)
		switch {
		case err != nil:
			return err
		case status != http.StatusOK:
			return fmt.Errorf("%s is not ready: %d: %s", url, status, text)
		}
		fmt.Fprintln(cmd.OutOrStdout(), text)
		return nil
	}
	return cmd
}

// adminURL returns the URL of the admin address of a configuration, on this machine.
func adminURL(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := config.Parse(file, text)
	if err != nil {
		return "", err
	}
	if c.AdminWebConfig != "" {
		return "", fmt.Errorf("%s: admin_web_config can require TLS or a user (hint: give the URL with --admin)", file)
	}
	url, err := localURL(c.Admin)
	if err != nil {
		panic("BUG: the address was checked: " + err.Error())
	}
	return url, nil
}

// localURL returns the URL at which this machine reaches an address to listen on.
func localURL(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
