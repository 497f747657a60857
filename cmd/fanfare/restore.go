package main

import (
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/gateway"
)

func restoreCommand() *cobra.Command {
	var admin, data string
	var release bool
	var as format
	cmd := &cobra.Command{
		Use: "restore BACKUP", Short: "Make a store from a backup, and release what it holds", Args: cobra.MaximumNArgs(1),
		Long: "Copies a backup to a folder that is empty or missing. The backup stays as it is.\n" +
			"What was sent since the backup is not known to it. A gateway that is started on the restored store therefore holds\n" +
			"the deliveries to people (SMS, mail, push) that were under way; machines get theirs.\n" +
			"Cancel what must not go out again, then release the others with --release.",
		Example: "  fanfare restore /backups/fanfare-monday --data /var/lib/fanfare\n  fanfare restore --release",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case release && len(args) > 0:
				return usageError("--release is for the running gateway and takes no backup")
			case release:
				return releaseRestored(cmd, admin, as)
			case len(args) == 0 || data == "":
				return usageError("name the backup and, with --data, the folder it is to be restored to")
			case cmd.Flags().Changed("admin"):
				return usageError("--admin goes with --release only")
			}
			made, err := gateway.Restore(args[0], data)
			if err != nil {
				return err
			}
			return restored(cmd, as, made)
		},
	}
	adminFlag(cmd, &admin)
	cmd.Flags().StringVar(&data, "data", "", "folder of the new store")
	cmd.Flags().BoolVar(&release, "release", false, "let the running gateway send what it held when it was restored")
	cmd.MarkFlagsMutuallyExclusive("data", "release")
	as.flag(cmd)
	return cmd
}

func restored(cmd *cobra.Command, as format, made gateway.Copy) error {
	if err := printCopy(cmd, as, made, "restored to"); err != nil || as.json() {
		return err
	}
	p := newPrinter(cmd.OutOrStdout(), as)
	p.say("Deliveries to people start held, because the backup does not know what was sent since. Next:")
	p.say("  fanfare serve --data %s", made.Dir)
	p.say("  fanfare publishes cancel PUBLISH   for what must not go out again")
	p.say("  fanfare restore --release          sends the others")
	return nil
}

// releaseRestored queues again what was held.
func releaseRestored(cmd *cobra.Command, admin string, as format) error {
	c, err := newClient(admin, "", adminHint)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := c.call(cmd.Context(), http.MethodPost, "/release", object{}, &answer); err != nil {
		return err
	}
	return newPrinter(cmd.OutOrStdout(), as).document(answer)
}
