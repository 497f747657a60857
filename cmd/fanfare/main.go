// Command fanfare is the notification gateway: one binary to serve, to try out
// (demo), to check a configuration and to publish.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
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

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// run runs one command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	// The first signal asks for an orderly end, the second one for an end now.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return execute(ctx, args, os.Stdin, stdout, stderr)
}

// execute is run until ctx ends, with another standard input.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.InitDefaultCompletionCmd() // it prints to where root does now
	started := false
	strict(root, &started)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintln(stderr, "fanfare:", strings.TrimSuffix(line, "\n"))
	}
	var exit *exitError
	switch {
	case !started:
		_, _ = fmt.Fprintln(stderr, "usage:", cmd.UseLine())
		return exitUsage
	case errors.As(err, &exit):
		return exit.code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fanfare",
		Short: "Edge notification gateway: publish once over HTTP, delivered on every channel",
		Example: "  fanfare demo              watch one publish reach every channel, on this machine\n" +
			"  fanfare serve --sandbox   serve with all providers simulated\n" +
			"  fanfare serve --config fanfare.yaml\n" +
			"  fanfare publish --to sms:+15005550101 --message \"Disk failing on db-1\" --wait",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		serveCommand(), demoCommand(), configCommand(), backupCommand(), restoreCommand(), versionCommand(),
		publishCommand(), publishesCommand(), topicsCommand(), subscriptionsCommand(), queuesCommand(), accountsCommand(), dlqCommand(),
	)
	return root
}

// strict lets a command without a subcommand print its help and refuse words
// that are none, refuses empty arguments, and sets started when a command begins
// its work: an error before that is the caller's.
func strict(cmd *cobra.Command, started *bool) {
	for _, sub := range cmd.Commands() {
		strict(sub, started)
	}
	if !cmd.Runnable() {
		cmd.Args, cmd.RunE = cobra.ArbitraryArgs, helpOrUnknown
	}
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if slices.Contains(args, "") {
				return usageError("an argument is empty; usage: %s", cmd.UseLine())
			}
			*started = true
			return work(cmd, args)
		}
	}
}

func helpOrUnknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := fmt.Sprintf("see %q", cmd.CommandPath()+" --help")
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q?", cmd.CommandPath()+" "+near[0])
	}
	return usageError("%q has no command %q; %s", cmd.CommandPath(), args[0], hint)
}

func versionCommand() *cobra.Command {
	var as format
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Example: "  fanfare version\n  fanfare version --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if as.json() {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(object{"version": version, "go": runtime.Version()})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
	as.flag(cmd)
	return cmd
}
