package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

var errDisk = errors.New("disk is broken")

// faulty is a file system whose operations of some kinds fail while on is set.
func faulty(inner vfs.FS, on *atomic.Bool, kinds ...errorfs.OpKind) vfs.FS {
	return errorfs.Wrap(inner, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !on.Load() || !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		for _, k := range kinds {
			if op.Kind == k {
				return errDisk
			}
		}
		return nil
	}))
}

// TestFailedWrite breaks the disk under a busy store: nobody is told that a
// write succeeded, and nothing of it is seen.
func TestFailedWrite(t *testing.T) {
	t.Parallel()
	for name, kinds := range map[string][]errorfs.OpKind{
		"sync":  {errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo},
		"write": {errorfs.OpFileWrite},
	} {
		for _, shards := range queuetest.Shards() {
			t.Run(fmt.Sprintf("%s/%d_shards", name, shards), func(t *testing.T) {
				t.Parallel()
				failedWrite(t, shards, kinds)
			})
		}
	}
}

func failedWrite(t *testing.T, shards int, kinds []errorfs.OpKind) {
	ctx := context.Background()
	var broken atomic.Bool
	disk := vfs.NewCrashableMem()
	s := open(t, queue.Options{FS: faulty(disk, &broken, kinds...), Shards: shards})
	_, err := s.CreateQueue(ctx, "q", queue.Settings{})
	require.NoError(t, err)
	_, err = s.CreateQueue(ctx, "empty", queue.Settings{})
	require.NoError(t, err)
	_, err = s.Send(ctx, "q", queue.Message{Body: []byte("before")})
	require.NoError(t, err)
	waiting := make(chan error, 1)
	go func() {
		_, err := s.Receive(ctx, "empty", queue.ReceiveOptions{Wait: time.Hour})
		waiting <- err
	}()
	broken.Store(true)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			key := fmt.Appendf(nil, "key%d", i)
			b := new(queue.Batch)
			b.Send("q", queue.Message{Body: []byte("after")})
			b.Put(key, nil)
			_, err := s.Commit(ctx, i%shards, b)
			require.ErrorIs(t, err, queue.ErrStoreFailed)
			_, err = s.Get(i%shards, key)
			require.Error(t, err)
			_, err = s.Send(ctx, "q", queue.Message{Body: []byte("after")})
			require.ErrorIs(t, err, queue.ErrStoreFailed)
		})
	}
	wg.Wait()
	<-s.Failed()
	require.ErrorIs(t, <-waiting, queue.ErrStoreFailed)
	got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 10})
	require.Empty(t, got)
	require.ErrorIs(t, err, queue.ErrStoreFailed)
	_, err = s.CreateQueue(ctx, "r", queue.Settings{})
	require.ErrorIs(t, err, queue.ErrStoreFailed)
	require.ErrorIs(t, s.Close(), queue.ErrStoreFailed)

	s = open(t, queue.Options{FS: disk.CrashClone(vfs.CrashCloneCfg{})})
	got, err = s.Receive(ctx, "q", queue.ReceiveOptions{Max: 100})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "before", string(got[0].Body))
	require.Empty(t, s.Recount())
	require.NoError(t, s.Close())
}

// fataling is a log that meets an error as Pebble does when it waits for the
// sync itself: by Fatalf, which ends in a panic, and an answer of nil.
type fataling struct {
	queue.Log
	on *atomic.Bool
}

func (f fataling) Append(shard int, b *pebble.Batch, durable bool) (func() error, error) {
	wait, err := f.Log.Append(shard, b, durable)
	if f.on.Load() && durable {
		panic(errDisk)
	}
	return wait, err
}

// TestPanicOfWriter shows that a panic under the writer answers everyone.
func TestPanicOfWriter(t *testing.T) {
	t.Parallel()
	var on atomic.Bool
	o := queue.Options{FS: vfs.NewMem(), Shards: 1}
	queue.WrapLog(&o, func(l queue.Log) queue.Log { return fataling{l, &on} })
	s := open(t, o)
	on.Store(true)
	b := new(queue.Batch)
	b.Put([]byte("k"), nil)
	_, err := s.Commit(context.Background(), 0, b)
	require.ErrorIs(t, err, queue.ErrStoreFailed)
	require.ErrorIs(t, err, errDisk)
	<-s.Failed()
	require.ErrorIs(t, s.Close(), queue.ErrStoreFailed)
}

// TestReadOnlyFolder is a folder that cannot be written.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{fs.ErrPermission, syscall.EROFS} {
		ro := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return &fs.PathError{Op: "open", Path: op.Path, Err: cause}
			}
			return nil
		}))
		_, err := queue.Open("store", queue.Options{FS: ro})
		require.ErrorIs(t, err, cause)
		require.ErrorContains(t, err, "store store: the folder is not writable")
	}
}

// TestNewerFormat is a store that a later version wrote.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	o := queue.Options{FS: vfs.NewMem()}
	s := open(t, o)
	require.NoError(t, s.WriteNewerFormat())
	require.NoError(t, s.Close())
	_, err := queue.Open("store", o)
	require.ErrorIs(t, err, queue.ErrNewerFormat)
	_, err = queue.Open("store", o)
	require.ErrorIs(t, err, queue.ErrNewerFormat, "not locked by the first try")
}
