package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// A store as a program that serves etcd's API.
type store struct {
	program   string
	arguments settings
	// Where an endpoint is, which may hold a password.
	environment []string
}

// Where every API server finds it.
const storeAddress = "http://127.0.0.1:2379"

// etcd is one member, which is told by no other how to start.
func etcd(directory string) store {
	return store{program: "etcd", arguments: settings{
		"data-dir":                    directory,
		"listen-client-urls":          storeAddress,
		"advertise-client-urls":       storeAddress,
		"listen-peer-urls":            "http://127.0.0.1:2380",
		"initial-advertise-peer-urls": "http://127.0.0.1:2380",
		"initial-cluster":             "default=http://127.0.0.1:2380",
		"unsafe-no-fsync":             "true",
		"heartbeat-interval":          "20",
		"election-timeout":            "200",
		"log-level":                   "warn",
	}}
}

// kine is in front of the database at the endpoint. Its log has the form that it has in k3s.
func kine(endpoint string) store {
	return store{
		program:     "kine",
		arguments:   settings{"listen-address": storeAddress, "metrics-bind-address": "0"},
		environment: append(os.Environ(), "KINE_ENDPOINT="+endpoint),
	}
}

// sqlite is kine's endpoint of a file.
func sqlite(directory string) string {
	return "sqlite://" + filepath.Join(directory, "state.db") +
		"?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate"
}

// checkEndpoint refuses what kine does not speak to.
func checkEndpoint(endpoint string) error {
	for _, scheme := range []string{"sqlite", "postgres", "postgresql", "mysql"} {
		if strings.HasPrefix(endpoint, scheme+"://") {
			return nil
		}
	}
	return errors.New("storage backend is not defined")
}
