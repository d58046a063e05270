package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// A retelling is what a distro's log has for a line of one of its programs.
type retelling func(program, stream, line string) string

// quoted is how k0s passes on each line: as news of its own, whatever the program calls it.
func quoted(program, stream, line string) string {
	now := time.Now().Format(time.DateTime)
	return fmt.Sprintf("time=%q level=info msg=%q component=%s stream=%s", now, line, program, stream)
}

// asOne is how k3s says what its kine says, which is a part of the same program. Here kine says it in JSON.
func asOne(_, _, line string) string {
	var said struct{ Time, Severity, Message string }
	if json.Unmarshal([]byte(line), &said) != nil || said.Severity == "" {
		return line
	}
	return fmt.Sprintf("time=%q level=%s msg=%q", said.Time, said.Severity, said.Message)
}

// What a program writes, line by line.
type lines struct {
	program, stream string
	retell          retelling
	// What has no end yet.
	rest []byte
}

func (l *lines) Write(text []byte) (int, error) {
	l.rest = append(l.rest, text...)
	for {
		line, rest, ended := bytes.Cut(l.rest, []byte("\n"))
		if !ended {
			return len(text), nil
		}
		l.rest = rest
		if _, err := fmt.Fprintln(os.Stderr, l.retell(l.program, l.stream, string(line))); err != nil {
			return 0, err
		}
	}
}
