// Iptables-wrapper stands in for iptables in kube-proxy's image. The first time it is called, it finds
// out which of the two flavours the node uses, puts links to that one in its own place, and goes on as
// that one.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const directory = "/usr/sbin"

func main() {
	multi := filepath.Join(directory, "xtables-"+flavour()+"-multi")
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			// Whoever comes at the same time does the same; calling through this program works as well.
			if err := relink(multi, filepath.Join(directory, family+suffix)); err != nil {
				fmt.Fprintln(os.Stderr, "iptables-wrapper:", err)
			}
		}
	}
	arguments := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	if err := syscall.Exec(multi, arguments, os.Environ()); err != nil {
		fmt.Fprintln(os.Stderr, "iptables-wrapper:", err)
		os.Exit(126)
	}
}

// The kubelet leaves a chain in the flavour that it uses, as a hint to others.
func flavour() string {
	for _, flavour := range []string{"nft", "legacy"} {
		if strings.Contains(rules(flavour, "mangle"), "KUBE-IPTABLES-HINT") {
			return flavour
		}
	}
	if strings.Count(rules("legacy", ""), "\n-A") > strings.Count(rules("nft", ""), "\n-A") {
		return "legacy"
	}
	return "nft"
}

func rules(flavour, table string) string {
	arguments := []string{"iptables-save"}
	if table != "" {
		arguments = append(arguments, "-t", table)
	}
	// A kernel without this flavour has no rules in it.
	output, _ := exec.Command(filepath.Join(directory, "xtables-"+flavour+"-multi"), arguments...).Output()
	return string(output)
}

func relink(target, link string) error {
	draft := fmt.Sprintf("%s.%d", link, os.Getpid())
	if err := os.Symlink(target, draft); err != nil {
		return err
	}
	return os.Rename(draft, link)
}
