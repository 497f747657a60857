// Command fanfare is the notification gateway: one binary to serve, to try out
// (demo), to check a configuration and to publish.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes: 0 done, 1 it failed while running, 2 it was asked wrongly, 3 a
// check found problems, 130 interrupted.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitProblems    = 3
	exitInterrupted = 130
)

// version is set when a release is built.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// exitError is an error with its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// run runs one command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	// The first signal asks for an orderly end, the second one for an end now.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:   "fanfare",
		Short: "Edge notification gateway: publish once over HTTP, delivered on every channel",
		Example: "  fanfare demo              watch one publish reach every channel, on this machine\n" +
			"  fanfare serve --sandbox   serve with all providers simulated\n" +
			"  fanfare serve --config fanfare.yaml",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUsage, err} })
	root.AddCommand(serveCommand(), demoCommand(), configCommand(), versionCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "fanfare:", err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { cmd.Println(version) },
	}
}
