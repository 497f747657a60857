package gateway

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Restore copies a backup to the folder data, which must be empty or missing,
// and marks it restored: the gateway that opens it holds people's deliveries.
// The backup stays as it is and shares nothing with the copy. The copy is
// durable when Restore returns; after an error there is none.
func Restore(from, data string) (c Copy, err error) {
	start := time.Now()
	if err := mustExist(from); err != nil {
		return c, err
	}
	switch entries, err := os.ReadDir(data); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return c, fmt.Errorf("restore to %s: %w", data, err)
	case len(entries) > 0:
		return c, fmt.Errorf("restore to %s: it must be empty or missing", data)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("restore to %s: %w", data, err), empty(data))
		}
	}()
	if err := os.MkdirAll(data, 0o700); err != nil {
		return c, err
	}
	if err := queue.MarkRestored(data, nil); err != nil {
		return c, err
	}
	size, err := copyStore(from, data)
	if err != nil {
		return c, err
	}
	if err := tryOpen(data); err != nil {
		return c, err
	}
	return newCopy(data, size, start), nil
}

// tryOpen finds out whether a gateway could open a store. The mark of a restored
// one is taken over into its own record.
func tryOpen(dir string) error {
	store, err := queue.Open(dir, queue.Options{})
	if err != nil {
		return err
	}
	return store.Close()
}

// copyStore copies the files of a store.
func copyStore(from, to string) (size int64, err error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return 0, err
	}
	// Backwards by name, the marker of a whole store is the first: of a copy that
	// is broken off Open says that files are missing, and makes no new store of it.
	slices.Reverse(entries)
	for _, e := range entries {
		if !e.Type().IsRegular() || e.Name() == "LOCK" {
			continue
		}
		n, err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
		if err != nil {
			return size, err
		}
		size += n
	}
	return size, syncFolder(to)
}

func copyFile(from, to string) (n int64, err error) {
	in, err := os.Open(filepath.Clean(from))
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }() // it was only read
	out, err := os.OpenFile(filepath.Clean(to), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(out, in)
	return n, errors.Join(err, out.Sync(), out.Close())
}

// empty removes what is in a folder that was empty.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}
