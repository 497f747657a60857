package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/config"
)

func configCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "config", Short: "Check or print the configuration",
		Example: "  fanfare config check --config fanfare.yaml\n  fanfare config print",
	}
	cmd.PersistentFlags().StringVar(&file, "config", "", "configuration file (YAML)")
	cmd.AddCommand(
		configCheckCommand(&file),
		configPrintCommand(&file),
		&cobra.Command{
			Use: "schema", Short: "Print the configuration's JSON Schema", Args: cobra.NoArgs,
			Example: "  fanfare config schema > fanfare.schema.json",
			Run:     func(cmd *cobra.Command, _ []string) { cmd.Println(string(config.Schema())) },
		},
	)
	return cmd
}

func configCheckCommand(file *string) *cobra.Command {
	var as format
	cmd := &cobra.Command{
		Use: "check", Short: "Report everything that is wrong, with line and column", Args: cobra.NoArgs,
		Long:    "Reports everything that is wrong, with line and column. Exit status 3 if anything is.",
		Example: "  fanfare config check --config fanfare.yaml\n  fanfare config check --config fanfare.yaml --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			unused := config.Unused(*file, os.Environ())
			unused = slices.DeleteFunc(unused, func(name string) bool { return name == serverVar || name == keyVar })
			_, err := config.Load(*file, os.Environ(), nil)
			if as.json() {
				return checked(cmd, unused, err)
			}
			for _, name := range unused {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s is no key of the configuration\n", name)
			}
			if err != nil {
				return &exitError{exitProblems, err}
			}
			cmd.Println("ok")
			return nil
		},
	}
	as.flag(cmd)
	return cmd
}

func configPrintCommand(file *string) *cobra.Command {
	var as format
	cmd := &cobra.Command{
		Use: "print", Short: "Print the whole configuration, secrets left out", Args: cobra.NoArgs,
		Example: "  fanfare config print\n  fanfare config print --config fanfare.yaml --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(*file, os.Environ(), nil)
			switch {
			case err != nil:
				return &exitError{exitUsage, err}
			case as.json():
				cmd.Print(cfg.RedactedJSON())
			default:
				cmd.Print(cfg.Redacted())
			}
			return nil
		},
	}
	as.flag(cmd)
	return cmd
}

// checked prints what a check found as JSON.
func checked(cmd *cobra.Command, unused []string, err error) error {
	problems := config.Problems{}
	_ = errors.As(err, &problems) // Load has no other errors
	found := object{"ok": err == nil, "problems": problems, "unused": append([]string{}, unused...)}
	if bad := json.NewEncoder(cmd.OutOrStdout()).Encode(found); bad != nil || err == nil {
		return bad
	}
	return &exitError{exitProblems, fmt.Errorf("the configuration has problems: %d", len(problems))}
}
