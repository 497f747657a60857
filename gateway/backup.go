package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Copy says what a backup or a restore has written.
type Copy struct {
	Dir   string    `json:"dir"`
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"`
	Took  string    `json:"took"`
}

// BackupStopped writes a copy of the store in the folder data to the folder
// dir, which must not exist. No gateway may run on the store
// (queue.ErrLocked). The copy is durable when it returns; after an error there
// is none.
func BackupStopped(data, dir string) (c Copy, err error) {
	if err := mustExist(data); err != nil {
		return c, err
	}
	store, err := queue.Open(data, queue.Options{})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return backup(store, dir)
}

func mustExist(dir string) error {
	found, err := queue.Exists(dir)
	if err == nil && !found {
		err = fmt.Errorf("there is no store in %s", dir)
	}
	return err
}

// backup writes to a folder beside dir, so that dir is never half-written.
func backup(store interface{ Backup(dir string) error }, dir string) (c Copy, err error) {
	start := time.Now()
	if _, err := os.Lstat(dir); err == nil {
		return c, fmt.Errorf("backup to %s: %w; name one that does not exist", dir, fs.ErrExist)
	}
	parent := filepath.Dir(dir)
	part, err := os.MkdirTemp(parent, ".fanfare-backup-")
	if err != nil {
		return c, fmt.Errorf("backup to %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	if err := store.Backup(part); err != nil {
		return c, err
	}
	size, err := folderSize(part)
	if err != nil {
		return c, err
	}
	// It holds messages, recipients and signing keys.
	if err := errors.Join(os.Chmod(part, 0o700), os.Rename(part, dir), syncFolder(parent)); err != nil { //nolint:gosec // a folder is entered
		return c, fmt.Errorf("backup to %s: %w", dir, err)
	}
	return newCopy(dir, size, start), nil
}

func newCopy(dir string, size int64, start time.Time) Copy {
	return Copy{Dir: dir, Bytes: size, At: start.UTC().Truncate(time.Millisecond), Took: time.Since(start).Round(time.Millisecond).String()}
}

func folderSize(dir string) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			return 0, err
		}
		size += st.Size()
	}
	return size, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
