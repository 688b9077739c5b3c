package daemon_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// secureEtcd is an etcd that requires certificates of its clients, with the files that
// they need.
type secureEtcd struct {
	*proxytest.Embedded
	t   testing.TB
	dir string
	pki *proxytest.PKI
}

func newSecureEtcd(t testing.TB, names ...string) *secureEtcd {
	t.Helper()
	e := &secureEtcd{t: t, dir: t.TempDir()}
	var err error
	if e.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	cert, key, err := e.pki.Server(append(names, "127.0.0.1")...)
	if err != nil {
		t.Fatal(err)
	}
	e.write("etcd.crt", cert)
	e.write("etcd.key", key)
	e.write("ca.crt", e.pki.CA())
	e.writeClient(e.pki, "proxy")
	pair, err := tls.LoadX509KeyPair(e.path("proxy.crt"), e.path("proxy.key"))
	if err != nil {
		t.Fatal(err)
	}
	e.Embedded, err = proxytest.StartEmbedded(proxytest.Options{Dir: filepath.Join(e.dir, "data"), TLS: &proxytest.EtcdTLS{
		Certificate: e.path("etcd.crt"), Key: e.path("etcd.key"), ClientCA: e.path("ca.crt"),
		Client: &tls.Config{RootCAs: e.pki.Pool(), Certificates: []tls.Certificate{pair}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func (e *secureEtcd) path(name string) string { return filepath.Join(e.dir, name) }

// write replaces a file in one step.
func (e *secureEtcd) write(name string, data []byte) {
	e.t.Helper()
	if err := os.WriteFile(e.path(name+".next"), data, 0o600); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(e.path(name+".next"), e.path(name)); err != nil {
		e.t.Fatal(err)
	}
}

// writeClient replaces the certificate of the proxy by one of a CA.
func (e *secureEtcd) writeClient(ca *proxytest.PKI, cn string) {
	e.t.Helper()
	cert, key, err := ca.Client(cn)
	if err != nil {
		e.t.Fatal(err)
	}
	e.write("proxy.crt", cert)
	e.write("proxy.key", key)
}

// upstream returns the table [upstream] of a proxy before this etcd.
func (e *secureEtcd) upstream(more string) string {
	return strings.Replace(fmt.Sprintf(daemontest.SeedConfig, e.URL()), "[tls]\n", fmt.Sprintf("ca = %q\n%s[tls]\n", e.path("ca.crt"), more), 1)
}

func (e *secureEtcd) certificate() string {
	return fmt.Sprintf("certificate = %q\nkey = %q\n", e.path("proxy.crt"), e.path("proxy.key"))
}

func TestAnEtcdThatRequiresACertificateIsReached(t *testing.T) {
	t.Parallel()
	e := newSecureEtcd(t)
	s := startService(t, e.upstream(e.certificate()))
	if status := s.Put("conftool", "conftool-1"); status != 201 {
		t.Fatalf("a write to an etcd that requires a certificate: got status %d, want 201; the log:\n%s", status, s.Log)
	}
	leaf, err := tls.LoadX509KeyPair(e.path("proxy.crt"), e.path("proxy.key"))
	if err != nil {
		t.Fatal(err)
	}
	s.WaitForMetric("etcd_tlsproxy_certificate_not_after_timestamp_seconds{role=\"upstream\"} " + strconv.FormatFloat(float64(leaf.Leaf.NotAfter.Unix()), 'g', -1, 64))
	// The probes of the status page use the certificate as well.
	if _, body := s.Admin("GET", "/-/status.json"); !strings.Contains(body, `"version":"3.5.`) {
		t.Errorf("the status: got no version of etcd in %s", body)
	}
	stranger, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	e.writeClient(stranger, "proxy")
	s.Eventually("etcd refuses the certificate of another CA", func() bool { return s.Put("conftool", "conftool-1") == http.StatusServiceUnavailable })
	e.writeClient(e.pki, "proxy")
	s.Eventually("etcd accepts the next certificate", func() bool { return s.Put("conftool", "conftool-1") == http.StatusOK })
}

func TestTheCertificateForEtcdIsRenewedWhileTheConfigurationIsNotValid(t *testing.T) {
	t.Parallel()
	e := newSecureEtcd(t)
	s := startService(t, e.upstream(e.certificate()))
	stranger, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	s.Write("etcd-tlsproxy.toml", "invented = true\n"+s.Read("etcd-tlsproxy.toml"))
	s.Eventually("the configuration is refused", func() bool { return strings.Contains(s.Log.String(), "invented") })
	e.writeClient(stranger, "proxy")
	s.Eventually("the certificate of another CA is used", func() bool { return s.Put("conftool", "conftool-1") == http.StatusServiceUnavailable })
	// A key that does not belong to it changes nothing.
	_, key, err := e.pki.Client("proxy")
	if err != nil {
		t.Fatal(err)
	}
	e.write("proxy.key", key)
	if status, _ := s.Admin("POST", "/-/reload"); status == 200 {
		t.Errorf("a reload with a wrong key and a wrong configuration: got status %d, want an error", status)
	}
	e.writeClient(e.pki, "proxy")
	s.Eventually("the next certificate is used", func() bool { return s.Put("conftool", "conftool-1") < 300 })
}

func TestAnEtcdThatRequiresACertificateIsNotReachedWithoutOne(t *testing.T) {
	t.Parallel()
	e := newSecureEtcd(t)
	s := startService(t, e.upstream(""))
	if status := s.Put("conftool", "conftool-1"); status != http.StatusServiceUnavailable {
		t.Errorf("a write without a certificate for etcd: got status %d, want 503", status)
	}
	if log := s.Log.String(); !strings.Contains(log, "certificate required") {
		t.Errorf("the log: got %q, want etcd's reason in it", log)
	}
}

// check reports what check-config would about a configuration in the folder of the etcd.
func (e *secureEtcd) check(config string) (*daemon.Report, error) {
	e.t.Helper()
	cert, key, err := e.pki.Server("127.0.0.1")
	if err != nil {
		e.t.Fatal(err)
	}
	users, err := proxytest.Htpasswd(map[string]string{"root": "root-1", "conftool": "conftool-1"})
	if err != nil {
		e.t.Fatal(err)
	}
	e.write("server.crt", cert)
	e.write("server.key", key)
	e.write("htpasswd", users)
	e.write("config.toml", []byte(config))
	return daemon.Check(e.t.Context(), daemon.CheckOptions{File: e.path("config.toml")})
}

func TestSecretsForEtcdThatEveryoneCanReadAreWarnedOf(t *testing.T) {
	e := newSecureEtcd(t)
	e.write("etcd.password", []byte("secret"))
	config := e.upstream(e.certificate() + "user = \"root\"\npassword_file = \"etcd.password\"\n")
	for name, key := range map[string]string{"proxy.key": "upstream.key", "etcd.password": "upstream.password_file"} {
		want := key + ": " + e.path(name) + " can be read by every user of this machine"
		if report, err := e.check(config); err != nil || strings.Contains(strings.Join(report.Local, "\n"), want) {
			t.Errorf("checking a file %s of mode 600: got %+v, %v; want no warning", name, report, err)
		}
		if err := os.Chmod(e.path(name), 0o644); err != nil {
			t.Fatal(err)
		}
		if report, err := e.check(config); err != nil || !strings.Contains(strings.Join(report.Local, "\n"), want) {
			t.Errorf("checking a file %s of mode 644: got %+v, %v; want %q", name, report, err, want)
		}
	}
}

func TestACertificateForEtcdIsChecked(t *testing.T) {
	e := newSecureEtcd(t)
	config := e.upstream(e.certificate())
	report, err := e.check(config)
	if err != nil || len(report.Warnings) > 0 {
		t.Errorf("checking a good certificate: got %+v, %v; want no warning and no error", report, err)
	}
	cert, key, err := e.pki.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	e.write("proxy.crt", cert)
	if _, err := e.check(config); err == nil || !strings.Contains(err.Error(), "upstream.certificate: "+e.path("proxy.key")+": the key does not belong to the certificate") {
		t.Errorf("checking a certificate with the key of another: got the error %v, want one that names the key", err)
	}
	e.write("proxy.key", key)
	report, err = e.check(config)
	if err != nil || !strings.Contains(strings.Join(report.Warnings, "\n"), e.path("proxy.crt")+": the certificate is not for clients") {
		t.Errorf("checking a certificate for servers: got %+v, %v; want a warning", report, err)
	}
	e.write("proxy.crt", nil)
	if _, err := e.check(config); err == nil || !strings.Contains(err.Error(), "it contains no certificate") {
		t.Errorf("checking an empty certificate: got the error %v, want one that names it", err)
	}
}
