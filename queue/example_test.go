package queue_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-gateway/fanfare/queue"
)

// A message is sent, received and deleted.
func Example() {
	ctx := context.Background()
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem()}) // without FS: on disk
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.CreateQueue(ctx, "mail", queue.Settings{Visibility: time.Minute}); err != nil {
		log.Fatal(err)
	}
	if _, err := store.Send(ctx, "mail", queue.Message{Body: []byte("hello")}); err != nil {
		log.Fatal(err)
	}
	got, err := store.Receive(ctx, "mail", queue.ReceiveOptions{Max: 10, Wait: 20 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range got {
		fmt.Println(string(m.Body), m.Receives)
		for _, err := range store.Delete(ctx, "mail", m.Handle) {
			if err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output: hello 1
}

// A batch changes queues, records and counters of a shard together.
func ExampleStore_Commit() {
	ctx := context.Background()
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.CreateQueue(ctx, "mail", queue.Settings{}); err != nil {
		log.Fatal(err)
	}
	var b queue.Batch
	b.Expect([]byte("publish/1"), 0) // it must be new
	b.Put([]byte("publish/1"), []byte("queued"))
	b.Add([]byte("queued"), 1)
	b.Send("mail", queue.Message{Body: []byte("hello")})
	revision, err := store.Commit(ctx, 0, &b)
	if err != nil {
		log.Fatal(err)
	}
	record, err := store.Get(0, []byte("publish/1"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(record.Value), record.Revision == revision)
	// Output: queued true
}
