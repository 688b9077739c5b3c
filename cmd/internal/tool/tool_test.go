package tool

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/internal/usage"
)

func TestAnErrorIsPrintedOnceAndGivesTheStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{nil, 0, ""},
		{errors.New("no etcd"), usage.Failed, "siege: no etcd\n"},
		{usage.Mark(errors.New("no duration")), usage.Wrong, "siege: no duration\n"},
		{fmt.Errorf("in a namespace: %w", ErrReported), usage.Failed, ""},
	} {
		cmd := &cobra.Command{Use: "siege", SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, args []string) error {
			fmt.Fprint(cmd.OutOrStdout(), args)
			return c.err
		}}
		var out, errs bytes.Buffer
		if status := Run(t.Context(), cmd, []string{"a", "b"}, &out, &errs); status != c.status || errs.String() != c.text || out.String() != "[a b]" {
			t.Errorf("a command that ends with the error %v: got status %d, %q and %q, want %d, %q and %q", c.err, status, errs.String(), out.String(), c.status, c.text, "[a b]")
		}
	}
}
