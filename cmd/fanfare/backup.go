package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/gateway"
)

const adminHint = `start the gateway with "fanfare serve", or name its admin listener with --admin`

func adminFlag(cmd *cobra.Command, address *string) {
	cmd.Flags().StringVar(address, "admin", defaultAdmin, "the running gateway's admin listener")
}

func backupCommand() *cobra.Command {
	var admin, data string
	var as format
	cmd := &cobra.Command{
		Use: "backup DEST", Short: "Copy the store of a running or stopped gateway", Args: cobra.ExactArgs(1),
		Long: "Copies the store of the gateway that runs on this machine, which goes on serving, or with --data of a stopped one.\n" +
			"DEST must not exist; after an error it does not exist either. On the same disk the files of the store are linked,\n" +
			"not copied: take DEST to another machine.",
		Example: "  fanfare backup /backups/fanfare-monday\n  fanfare backup /backups/fanfare-monday --data /var/lib/fanfare",
		RunE: func(cmd *cobra.Command, args []string) error {
			dest, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			var made gateway.Copy
			if data != "" {
				made, err = gateway.BackupStopped(data, dest)
			} else {
				made, err = backupRunning(cmd, admin, dest)
			}
			if err != nil {
				return err
			}
			return printCopy(cmd, as, made, "backed up to")
		},
	}
	adminFlag(cmd, &admin)
	cmd.Flags().StringVar(&data, "data", "", "folder of a stopped gateway's store")
	cmd.MarkFlagsMutuallyExclusive("admin", "data")
	as.flag(cmd)
	return cmd
}

func backupRunning(cmd *cobra.Command, admin, dest string) (made gateway.Copy, err error) {
	c, err := newClient(admin, "", adminHint+"; a stopped gateway's store is named with --data")
	if err != nil {
		return made, err
	}
	err = c.call(cmd.Context(), http.MethodPost, "/backup", object{"dir": dest}, &made)
	return made, err
}

// printCopy prints what was copied.
func printCopy(cmd *cobra.Command, as format, made gateway.Copy, what string) error {
	p := newPrinter(cmd.OutOrStdout(), as)
	if as.json() {
		return json.NewEncoder(p.out).Encode(made)
	}
	p.say("%s %s: %s in %s", what, made.Dir, megabytes(made.Bytes), made.Took)
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
