package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

var archivePlatforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

// archived are the files and folders of the repository that go with the programs: what
// the pages link to or tell the reader to use.
var archived = []string{
	"README.md", "docs", "db/serving-role.sql", "deploy/docker/databases.sql", "deploy/failover/haproxy.cfg",
	"deploy/grafana", "deploy/kubernetes", "deploy/prometheus", "deploy/systemd",
}

// makeArchives writes a tar archive for each platform into the folder out.
func makeArchives(ctx context.Context, s source, out string) (names []string, err error) {
	common, err := archivedFiles(s)
	if err != nil {
		return nil, err
	}
	for _, p := range archivePlatforms {
		programs, err := archivedPrograms(ctx, s, p)
		if err != nil {
			return nil, err
		}
		base := fmt.Sprintf("fixdesk-%s-%s", s.version, p)
		var files []file
		for _, f := range append(programs, common...) {
			f.name = base + "/" + f.name
			files = append(files, f)
		}
		if err := writeTarGzip(filepath.Join(out, base+".tar.gz"), files, s.time); err != nil {
			return nil, err
		}
		names = append(names, base+".tar.gz")
	}
	return names, nil
}

func archivedFiles(s source) (files []file, err error) {
	for _, name := range archived {
		path := filepath.Join(s.root, filepath.FromSlash(name))
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			tree, err := readTree(path, name+"/")
			if err != nil {
				return nil, err
			}
			files = append(files, tree...)
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: name, mode: 0o644, content: content})
	}
	return files, nil
}

// archivedPrograms builds the programs, with the list of what each is made of.
func archivedPrograms(ctx context.Context, s source, p platform) (files []file, err error) {
	dir, err := os.MkdirTemp("", "fixdesk-archive-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, service := range services {
		path, err := build(ctx, s, service, p, dir)
		if err != nil {
			return nil, err
		}
		program, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		bom, err := sbom(path, s, service, p)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: "bin/" + service, mode: 0o755, content: program},
			file{name: "sbom/" + service + ".cdx.json", mode: 0o644, content: bom})
	}
	return files, nil
}
