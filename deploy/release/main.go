// Command release makes what is published of Fixdesk: an image of each service, and
// archives with its programs. The same commit gives the same bytes on every machine,
// with the same version of Go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const usage = `Usage: release [flags] [archives] [images]
Writes archives for Linux and macOS and images for Linux, on amd64 and arm64, with a
list of what each program is made of (CycloneDX) and SHA256SUMS. Without a name, all.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	root := flags.String("root", "../..", "the repository")
	out := flags.String("out", "../../dist", "folder of the results")
	push := flags.String("push", "", "push the images, too, to this registry and folder, such as registry.example.com/fixdesk")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	kinds := flags.Args()
	if len(kinds) == 0 {
		kinds = []string{"archives", "images"}
	}
	source, err := readSource(ctx, *root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil { //nolint:gosec // published
		return err
	}
	var made []string
	for _, kind := range kinds {
		var files []string
		switch kind {
		case "archives":
			files, err = makeArchives(ctx, source, *out)
		case "images":
			files, err = makeImages(ctx, source, *out, *push)
		default:
			err = fmt.Errorf("there is no %q to make", kind)
		}
		if err != nil {
			return err
		}
		made = append(made, files...)
	}
	return writeSums(*out, made)
}

// source is the repository that is released.
type source struct {
	root     string
	version  string    // such as 1.2.0
	revision string    // the commit
	time     time.Time // of the commit, and so of all files
}

func readSource(ctx context.Context, root string) (source, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return source{}, err
	}
	output, err := exec.CommandContext(ctx, filepath.Join(root, "deploy", "version.sh")).Output()
	if err != nil {
		return source{}, fmt.Errorf("deploy/version.sh: %w", err)
	}
	lines := strings.Fields(string(output))
	if len(lines) != 3 {
		return source{}, fmt.Errorf("deploy/version.sh prints %q", output)
	}
	seconds, err := strconv.ParseInt(lines[2], 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("deploy/version.sh: %w", err)
	}
	return source{root: root, version: lines[0], revision: lines[1], time: time.Unix(seconds, 0).UTC()}, nil
}
