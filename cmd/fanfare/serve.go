package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

// flagKeys are the flags of serve that stand for a configuration key.
var flagKeys = map[string]string{"listen": "listen", "admin-listen": "admin_listen", "data": "data"}

func serveCommand() *cobra.Command {
	var file string
	var simulated bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the gateway", Args: cobra.NoArgs,
		Example: "  fanfare serve                        store in ./data, no provider configured\n" +
			"  fanfare serve --sandbox              every provider simulated on this machine\n" +
			"  fanfare serve --config fanfare.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			load := func() (config.Config, error) { return loadConfig(cmd, file) }
			return serve(cmd.Context(), cmd.ErrOrStderr(), load, simulated)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (YAML)")
	cmd.Flags().BoolVar(&simulated, "sandbox", false, "simulate every provider")
	cmd.Flags().String("listen", "", "address of the API (default 127.0.0.1:8080)")
	cmd.Flags().String("admin-listen", "", "address of metrics and health (default 127.0.0.1:9090)")
	cmd.Flags().String("data", "", "folder of the store (default ./data)")
	return cmd
}

// loadConfig reads file, environment and flags; a wrong one is a usage error.
func loadConfig(cmd *cobra.Command, file string) (config.Config, error) {
	flags := map[string]string{}
	for name, key := range flagKeys {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			flags[key] = f.Value.String()
		}
	}
	cfg, err := config.Load(file, os.Environ(), flags)
	if err != nil {
		return cfg, &exitError{exitUsage, err}
	}
	return cfg, nil
}

func serve(ctx context.Context, stderr io.Writer, load func() (config.Config, error), simulated bool) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	log := logger(stderr, cfg.Log)
	o := gateway.Options{Config: cfg, Logger: log, Version: version}
	started := false
	if simulated {
		dir := filepath.Join(cfg.Data, "sandbox")
		made := missing(dir)
		defer func() {
			if !started {
				remove(dir, made)
			}
		}()
		sb, err := sandbox.Start(sandbox.Options{Dir: dir})
		if err != nil {
			return err
		}
		defer func() { _ = sb.Close() }() // the process ends
		o.Sandbox = sb
		log.Info("sandbox", "control", sb.URL, "webhook", sb.Webhook.URL)
	}
	g, err := gateway.New(ctx, o)
	if err != nil {
		return err
	}
	started = true
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	log.Info("serving", "api", g.URL(), "admin", g.AdminURL(), "data", cfg.Data)
	hard, stop := secondSignal(ctx)
	defer stop()
	go func() {
		for {
			select {
			case <-hangup:
				reload(ctx, g, load, log)
			case <-ctx.Done():
				return
			}
		}
	}()
	return g.Run(ctx, hard)
}

// missing are the folders of a path that are not there, the innermost first.
func missing(path string) (made []string) {
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return made
		}
		made = append(made, path)
		path = filepath.Dir(path)
	}
}

// remove takes away the folder of a sandbox that a start made which then failed,
// and those around it that it made and that hold nothing else.
func remove(dir string, made []string) {
	if len(made) > 0 {
		_ = os.RemoveAll(dir) // what is left does no harm
	}
	for _, path := range made {
		_ = os.Remove(path) // it holds something
	}
}

// secondSignal is a context that ends with the signal after the one that ended ctx.
func secondSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-ctx.Done():
		case <-hard.Done():
			return
		}
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(again)
		select {
		case <-again:
			stop()
		case <-hard.Done():
		}
	}()
	return hard, stop
}

// reload takes over accounts, limits and keys. A bad file keeps the old ones.
func reload(ctx context.Context, g *gateway.Gateway, load func() (config.Config, error), log *slog.Logger) {
	if err := g.Reload(ctx, load); err != nil {
		log.Error("configuration not taken, the old one holds", "error", err)
		return
	}
	log.Info("configuration taken")
}

func logger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // Load has checked it
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}
