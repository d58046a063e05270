// Stands in for k3s and for k0s in the tests of this project, which cannot have their images: it takes
// their command line, configuration and certificates, refuses what they would refuse, and starts the
// upstream programs with the flags that they would give them. It is not a distro and no test author is
// given it.
//
// In place of k3s's own listener there is the API server's.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// Minor is that of the Kubernetes version it stands in with; the linker is told.
var minor = "34"

func main() {
	name := filepath.Base(os.Args[0])
	var err error
	switch name {
	case "k3s":
		err = k3s(os.Args[1:])
	case "k0s":
		err = k0s(os.Args[1:])
	default:
		err = fmt.Errorf("called %q, which it does not stand in for", name)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "stand-in for %s: %v\n", name, err)
		os.Exit(1)
	}
}
