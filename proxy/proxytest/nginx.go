package proxytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Nginx is a running process of an installed nginx.
type Nginx struct {
	// Addr is the address of its site.
	Addr  string
	child *Child
}

// FindNginx reports whether nginx is installed.
func FindNginx() bool {
	_, err := exec.LookPath("nginx")
	return err == nil
}

// StartNginx starts nginx with the site that the function returns for an address, and
// waits until it listens there. Its files are in dir.
func StartNginx(dir string, site func(addr string) string) (*Nginx, error) {
	addr, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // only the user of the test can read the folder
	}
	config := user + fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 1000; }
http {
access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
%[2]s
}
`, dir, site(addr))
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "stderr")
	child, err := StartChild(log, "nginx", "-p", dir, "-c", file)
	if err != nil {
		return nil, err
	}
	n := &Nginx{Addr: addr, child: child}
	limit := time.After(20 * time.Second)
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			return n, c.Close()
		}
		select {
		case <-child.Exited():
			said, _ := os.ReadFile(log)
			return nil, fmt.Errorf("starting nginx: it has exited: %s", said)
		case <-limit:
			n.Close()
			return nil, fmt.Errorf("starting nginx: nothing listens at %s", addr)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Close asks nginx to quit, because only its master stops the workers.
func (n *Nginx) Close() {
	n.child.Signal(syscall.SIGTERM)
	<-n.child.Exited()
}
