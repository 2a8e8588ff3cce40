// Package console serves the console: the pages for people, and the session in a
// cookie with which they call the API. The pages are the files in page, as they
// are: no build makes them.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed page
var embedded embed.FS

// libraries are the bare module specifiers of the libraries in page/lib.
var libraries = map[string]string{
	"preact": "lib/preact.js", "preact/hooks": "lib/preact-hooks.js", "htm": "lib/htm.js",
	"@preact/signals": "lib/signals.js", "@preact/signals-core": "lib/signals-core.js",
}

var mediaTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8",
	".svg": "image/svg+xml",
}

// asset is one file as it is served.
type asset struct {
	name      string // with the hash of its content: parts/button.Zm9v.js
	mediaType string
	content   []byte
}

// pages are all files of the console. The name of each asset has the hash of its
// content, so that it never changes under its name.
type pages struct {
	index  *asset
	assets map[string]*asset // by name
}

// loadPages reads the files and replaces in each the paths of others by their
// names. It fails on a module that imports a file that isn't there, or itself
// through others.
func loadPages(files fs.FS) (*pages, error) {
	l := &loader{files: files, done: map[string]*asset{}, imports: map[string][]string{}}
	p := &pages{assets: map[string]*asset{}}
	if _, err := l.load("main.js"); err != nil {
		return nil, err
	}
	err := fs.WalkDir(files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || mediaTypes[path.Ext(file)] == "" || file == "index.html" {
			return err
		}
		a, err := l.load(file)
		if err == nil {
			p.assets[a.name] = a
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p.index, err = l.loadIndex(l.needs("main.js", nil))
	return p, err
}

type loader struct {
	files   fs.FS
	done    map[string]*asset // by path
	loading []string
	imports map[string][]string // of each module, those that it needs before it runs
}

// needs appends a module to modules, after those that it needs before it runs.
func (l *loader) needs(file string, modules []string) []string {
	if slices.Contains(modules, file) {
		return modules
	}
	for _, imported := range l.imports[file] {
		modules = l.needs(imported, modules)
	}
	return append(modules, file)
}

// load reads one file and those that it imports.
func (l *loader) load(file string) (*asset, error) {
	if a := l.done[file]; a != nil {
		return a, nil
	}
	if slices.Contains(l.loading, file) {
		return nil, fmt.Errorf("%s imports itself through %s", file, strings.Join(l.loading, ", "))
	}
	l.loading = append(l.loading, file)
	defer func() { l.loading = l.loading[:len(l.loading)-1] }()
	content, err := fs.ReadFile(l.files, file)
	if err != nil {
		return nil, fmt.Errorf("read a file of the console: %w", err)
	}
	if path.Ext(file) == ".js" {
		if content, err = l.link(file, content); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(content)
	extension := path.Ext(file)
	name := strings.TrimSuffix(file, extension) + "." + base64.RawURLEncoding.EncodeToString(sum[:9]) + extension
	a := newAsset(name, content)
	l.done[file] = a
	return a, nil
}

func newAsset(name string, content []byte) *asset {
	return &asset{name: name, mediaType: mediaTypes[path.Ext(name)], content: content}
}

// imported finds the specifier of each import and export of a module, and of
// those that are fetched when they are needed: () => import("…").
var imported = regexp.MustCompile(`(?m)((?:^|[;}])\s*(?:import|export)\b[^"';]*?from\s*|^\s*import\s*|(=> import\())"([^"]+)"`)

// link replaces in a module the paths of other assets, and the specifiers of its
// imports, by the names of the assets.
func (l *loader) link(file string, content []byte) ([]byte, error) {
	var failed error
	content = linkedAsset.ReplaceAllFunc(content, func(match []byte) []byte {
		a, err := l.load(string(linkedAsset.FindSubmatch(match)[1]))
		if err != nil {
			failed = err
			return match
		}
		return fmt.Appendf(nil, `"/assets/%s"`, a.name)
	})
	linked := imported.ReplaceAllFunc(content, func(match []byte) []byte {
		parts := imported.FindSubmatch(match)
		target, err := resolve(file, string(parts[3]))
		if err == nil {
			if len(parts[2]) == 0 {
				l.imports[file] = append(l.imports[file], target)
			}
			var a *asset
			if a, err = l.load(target); err == nil {
				return fmt.Appendf(nil, `%s"/assets/%s"`, parts[1], a.name)
			}
		}
		failed = err
		return match
	})
	return linked, failed
}

// resolve returns the file that a specifier in a file means.
func resolve(file, specifier string) (string, error) {
	if library, ok := libraries[specifier]; ok {
		return library, nil
	}
	if !strings.HasPrefix(specifier, "./") && !strings.HasPrefix(specifier, "../") {
		return "", fmt.Errorf("%s imports %s, which is no file and no library", file, specifier)
	}
	return path.Join(path.Dir(file), specifier), nil
}

var (
	linkedAsset = regexp.MustCompile(`"/assets/([^"]+)"`)
	// preload is where the index names every module, so that the browser fetches
	// all of them at once.
	preload = []byte("<!-- modules -->")
)

// loadIndex reads the page and puts the names of the assets and modules into it.
func (l *loader) loadIndex(modules []string) (*asset, error) {
	content, err := fs.ReadFile(l.files, "index.html")
	if err != nil {
		return nil, fmt.Errorf("read the console's page: %w", err)
	}
	var failed error
	content = linkedAsset.ReplaceAllFunc(content, func(match []byte) []byte {
		file := string(linkedAsset.FindSubmatch(match)[1])
		a := l.done[file]
		if a == nil {
			failed = fmt.Errorf("index.html names %s, which is not there", file)
			return match
		}
		return fmt.Appendf(nil, `"/assets/%s"`, a.name)
	})
	if failed != nil {
		return nil, failed
	}
	var links bytes.Buffer
	for _, file := range modules {
		fmt.Fprintf(&links, "<link rel=\"modulepreload\" href=\"/assets/%s\">\n", l.done[file].name)
	}
	return newAsset("index.html", bytes.Replace(content, preload, bytes.TrimSpace(links.Bytes()), 1)), nil
}
