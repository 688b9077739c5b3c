package migrate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"text/tabwriter"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// shadowStatus is the copy with which proxies compare their answers.
type shadowStatus struct {
	Prefix string `json:"prefix"`
	// Copied is the index of the v2 API at which the copy was made; 0 if there is none.
	Copied uint64 `json:"copied"`
	// Appends is the machine of the proxy that appends the events of the v2 API to the copy.
	Appends string        `json:"appends"`
	Proxies []shadowProxy `json:"proxies"`
}

type shadowProxy struct {
	Host        string    `json:"host"`
	Version     string    `json:"version"`
	Index       uint64    `json:"index"`
	Compared    int64     `json:"compared"`
	Skipped     int64     `json:"skipped"`
	Differences int64     `json:"differences"`
	Reason      string    `json:"reason"` // why the copy does not follow; empty if it does
	Since       time.Time `json:"since"`
}

// lookAtShadow reads what proxies say about the shadow of a configuration, which may have none.
func lookAtShadow(ctx context.Context, file string) (*shadowStatus, error) {
	o, err := daemon.ShadowOptions(ctx, file, slog.New(slog.DiscardHandler))
	if err != nil || o == nil {
		return nil, err
	}
	s := &shadowStatus{Prefix: o.Prefix, Proxies: []shadowProxy{}}
	err = withMember(ctx, o, func(client *rpc.Client, o *v2v3.Options) error {
		f, err := changeover.Look(ctx, client, layout.Keys(o.Prefix))
		if err != nil {
			return err
		}
		s.Copied, s.Appends = f.Copied, f.Keeper
		for _, m := range f.Members {
			if m.Shadow != nil {
				s.Proxies = append(s.Proxies, shadowProxy{m.Host, m.Version, m.Shadow.Index, m.Shadow.Compared, m.Shadow.Skipped, m.Shadow.Differences, m.Shadow.Reason, m.Since})
			}
		}
		return nil
	})
	return s, err
}

func (s *shadowStatus) write(w io.Writer) error {
	if s.Copied == 0 {
		_, err := fmt.Fprintf(w, "answers are to be compared with a copy at the prefix %q, which is not there (hint: make it with etcd-tlsproxy migrate rehearse)\n", s.Prefix)
		return err
	}
	if _, err := fmt.Fprintf(w, "answers are compared with the copy at the prefix %q, which was made at the index %d\n", s.Prefix, s.Copied); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, p := range s.Proxies {
		if i == 0 {
			fmt.Fprintln(table, "HOST\tVERSION\tINDEX\tCOMPARED\tSKIPPED\tDIFFERENCES\tSINCE\tNOT FOLLOWING BECAUSE")
		}
		reason := "-"
		if p.Reason != "" {
			reason = strconv.Quote(p.Reason) // parts of it are etcd's
		}
		fmt.Fprintf(table, "%q\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", p.Host, p.Version, p.Index, p.Compared, p.Skipped, p.Differences, p.Since.Format(time.DateTime), reason)
	}
	return table.Flush()
}
