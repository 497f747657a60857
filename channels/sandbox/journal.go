package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// journal is the inbox on disk: one Item a line, in order. A line without a
// provider says of the item with its seq how many callbacks have been answered.
// A line is written before append returns, and survives the process.
type journal struct {
	file *os.File
	size int64
}

// openJournal reads what is there, with the place in the file at which each
// line begins. A last line that a killed process left half written is cut off:
// its request was not answered.
func openJournal(path string, line func(it Item, begin int64)) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the sandbox's own folder
	if err != nil {
		return nil, err
	}
	j := &journal{file: f}
	if err := j.read(line); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return j, nil
}

func (j *journal) read(line func(it Item, begin int64)) error {
	in := bufio.NewReaderSize(j.file, 64<<10)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return j.cut()
		}
		if err != nil {
			return err
		}
		var it Item
		if err := json.Unmarshal(text, &it); err != nil {
			return fmt.Errorf("line %d is no item of an inbox (remove the file to start with an empty one): %w", n, err)
		}
		line(it, j.size)
		j.size += int64(len(text))
	}
}

// cut ends the file after the last whole line.
func (j *journal) cut() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	_, err := j.file.Seek(j.size, io.SeekStart)
	return err
}

// append writes a line, all of it or nothing.
func (j *journal) append(it Item) error {
	text, err := json.Marshal(it)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if _, err := j.file.Write(text); err != nil {
		return errors.Join(err, j.cut())
	}
	j.size += int64(len(text))
	return nil
}

// drop forgets the lines that begin before a place.
func (j *journal) drop(before int64) error {
	return j.replace(io.NewSectionReader(j.file, before, j.size-before))
}

// clear forgets all lines; the items to come go on counting from seq.
func (j *journal) clear(seq int) error {
	text, err := json.Marshal(Item{Seq: seq})
	if err != nil {
		return err
	}
	return j.replace(bytes.NewReader(append(text, '\n')))
}

// replace makes the lines of the journal these.
func (j *journal) replace(text io.Reader) error {
	path := j.file.Name()
	if err := replaceFile(path, text); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // in the sandbox's own folder
	if err != nil {
		return err
	}
	err = j.file.Close()
	j.file = f
	size, seek := f.Seek(0, io.SeekEnd)
	j.size = size
	return errors.Join(err, seek)
}
