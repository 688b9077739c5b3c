package statuspage

import (
	"fmt"
	"time"
)

// soon is how long before its end a certificate is a problem: the automation that renews
// them does so weeks before, so it must have failed.
const expirySoon = 14 * 24 * time.Hour

// problems are found in what is known, so that nobody has to read all of it.
func (s *Status) problems() []string {
	list := []string{}
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if s.State != "serving" {
		add("The proxy is %s: it accepts no connections any more.", s.State)
	}
	if !s.Config.OK {
		add("The configuration on disk could not be taken over; the old one serves on.")
	}
	if s.ReadOnly {
		add("All writes are refused: read_only is set.")
	}
	up := 0
	for _, e := range s.Upstream.Endpoints {
		if e.Health == "up" {
			up++
		} else {
			add("etcd at %s: %s.", e.Endpoint, e.Error)
		}
	}
	switch {
	case up == 0:
		add("No etcd serves: requests are answered with 503.")
	case s.Upstream.Leader == "" && s.Upstream.LeaderID == "":
		add("etcd has no leader: writes fail.")
	}
	switch s.Memory.Level {
	case "short":
		add("There is little memory left: reads are refused.")
	case "full":
		add("There is no memory left: everything is refused.")
	}
	for _, c := range s.Certificates {
		switch left := time.Duration(c.Seconds) * time.Second; {
		case left <= 0:
			add("The certificate %s (%s) has expired.", c.Subject, c.Role)
		case left < expirySoon:
			add("The certificate %s (%s) expires in %s.", c.Subject, c.Role, age(left.Seconds()))
		}
	}
	return list
}
