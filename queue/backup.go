package queue

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// restoredName is the file that tells the next Open that its folder is a copy.
const restoredName = "RESTORED"

// Backup writes a consistent copy of the store to an empty or missing folder.
// It does not stop the store.
func (s *Store) Backup(dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	names, err := s.fs.List(dir)
	switch {
	case err == nil && len(names) > 0:
		return fmt.Errorf("%w: backup folder %s is not empty", ErrInvalid, dir)
	case err == nil:
		if err := s.fs.Remove(dir); err != nil { // Pebble makes it itself
			return fmt.Errorf("backup to %s: %w", dir, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("backup to %s: %w", dir, err)
	}
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("backup to %s: %w", dir, err)
	}
	return nil
}

// Exists tells whether there is a store in dir, of whatever version.
func Exists(dir string) (bool, error) {
	found, err := pebble.Peek(dir, vfs.Default)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a store in %s: %w", dir, err)
	}
	return found.Exists, nil
}

// MarkRestored marks the copy of a store in dir as restored from a backup: the
// next Open of it raises its incarnation. A nil fs is the operating system's.
func MarkRestored(dir string, fs vfs.FS) error {
	if fs == nil {
		fs = vfs.Default
	}
	if _, err := fs.Stat(dir); err != nil {
		return fmt.Errorf("mark %s restored: %w", dir, err)
	}
	f, err := fs.Create(fs.PathJoin(dir, restoredName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("mark %s restored: %w", dir, err)
	}
	err = errors.Join(f.Sync(), f.Close(), syncDir(dir, fs))
	if err != nil {
		return fmt.Errorf("mark %s restored: %w", dir, err)
	}
	return nil
}

func wasRestored(dir string, fsys vfs.FS) (bool, error) {
	_, err := fsys.Stat(fsys.PathJoin(dir, restoredName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func unmarkRestored(dir string, fs vfs.FS) error {
	if err := fs.Remove(fs.PathJoin(dir, restoredName)); err != nil {
		return err
	}
	return syncDir(dir, fs)
}

func syncDir(dir string, fs vfs.FS) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
