//go:build commands

// Package commands names what is built here, for `go mod tidy`.
package commands

import _ "github.com/coredns/coredns"
