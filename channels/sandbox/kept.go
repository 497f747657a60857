package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// kept is what a sandbox with a folder is again after a restart: addresses,
// keys, credentials, queues and scripts, by name, in one file that is replaced
// as a whole. It outlives the process, not a power failure: nothing is synced.
type kept struct {
	path string // "" keeps nothing

	mu     sync.Mutex
	values map[string]json.RawMessage
	port   int // the next one to try for an address not kept
}

// openKept reads what an earlier run left in dir; "" keeps nothing.
func openKept(dir string) (*kept, error) {
	k := &kept{values: map[string]json.RawMessage{}}
	if dir == "" {
		return k, nil
	}
	k.path = filepath.Join(dir, "state.json")
	text, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &k.values)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, the addresses and keys of an earlier start, cannot be read; remove it to start with new ones: %w", k.path, err)
	}
	return k, nil
}

// get reads what is kept under a name; found tells whether anything is.
func (k *kept) get(name string, into any) (found bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text, found := k.values[name]
	if !found {
		return false, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return true, fmt.Errorf("%s: %q: %w", k.path, name, err)
	}
	return true, nil
}

// put keeps a value. It is in the file when put returns.
func (k *kept) put(name string, v any) error {
	if k.path == "" {
		return nil
	}
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.values[name] = value
	text, err := json.MarshalIndent(k.values, "", "  ")
	if err == nil {
		err = replaceFile(k.path, bytes.NewReader(text))
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// mustPut is put where nobody can be told: a sandbox whose folder cannot be
// written is at its end.
func (k *kept) mustPut(name string, v any) {
	if err := k.put(name, v); err != nil {
		panic(err)
	}
}

// keep is what an earlier run kept under a name, or else what mint makes.
func keep[T any](k *kept, name string, mint func() (T, error)) (T, error) {
	var v T
	found, err := k.get(name, &v)
	if err != nil || found {
		return v, err
	}
	if v, err = mint(); err != nil {
		return v, err
	}
	return v, k.put(name, v)
}

// replaceFile writes a file that only its owner may read, so that at any time
// the old or the new content is there.
func replaceFile(path string, text io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = io.Copy(f, text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// listen opens the loopback listener of a name: with a folder on the address
// it had before, as subscriptions name it.
func (k *kept) listen(name string) (net.Listener, error) {
	if k.path == "" {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	var address string
	found, err := k.get("address."+name, &address)
	if err != nil {
		return nil, err
	}
	if !found {
		l, err := k.listenLow()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return l, k.put("address."+name, l.Addr().String())
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: the address %s, kept in %s for the subscriptions that name it, cannot be opened: %w; "+
			"end what uses it (another fanfare in the same folder?), or remove the file to start with new addresses and subscribe anew", name, address, k.path, err)
	}
	return l, nil
}

// listenLow opens a port below those an operating system gives to connections
// and to listeners that name none (from 32768 on Linux, 49152 elsewhere), so
// that nobody has it by chance while the sandbox restarts. A sandbox takes the
// ports of one block, so that two seldom meet.
func (k *kept) listenLow() (l net.Listener, err error) {
	const first, block, blocks, tries = 20_000, 16, 750, 100
	if k.port == 0 {
		k.port = first + block*rand.IntN(blocks)
	}
	for range tries {
		l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", k.port))
		if k.port++; err == nil {
			return l, nil
		}
	}
	return nil, err
}
