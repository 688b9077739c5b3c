// Package tool runs programs that have one command.
package tool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/internal/usage"
)

// ErrReported is an error that has been printed.
var ErrReported = errors.New("the command has failed and said why")

// Main runs a command with the arguments of the process, and returns the exit status. Its context
// ends at SIGINT and SIGTERM. A second signal ends the process at once.
func Main(cmd *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return Run(ctx, cmd, os.Args[1:], os.Stdout, os.Stderr)
}

// Run runs a command, prints its error, and returns the exit status.
func Run(ctx context.Context, cmd *cobra.Command, args []string, stdout, stderr io.Writer) int {
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, ErrReported) {
		fmt.Fprintf(stderr, "%s: %v\n", cmd.Name(), err)
	}
	return usage.Status(err)
}
