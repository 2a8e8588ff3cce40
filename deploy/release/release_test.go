package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// here is the platform of the tests: that of the images, since they run them.
var here = platform{"linux", "amd64"}

func testSource(t *testing.T) source {
	t.Helper()
	s, err := readSource(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	s.version, s.revision = "1.2.3-test", "0123456789abcdef"
	return s
}

// built are the images of the repository as it is, by their service: links take long.
var built = map[string]builtImage{}

type builtImage struct {
	image v1.Image
	bom   []byte
}

func testImage(t *testing.T, service string) (v1.Image, []byte) {
	t.Helper()
	b, done := built[service]
	if !done {
		b.image, b.bom = newTestImage(t, testSource(t), service)
		built[service] = b
	}
	return b.image, b.bom
}

func newTestImage(t *testing.T, s source, service string) (v1.Image, []byte) {
	t.Helper()
	image, bom, err := newImage(t.Context(), s, service, here)
	if err != nil {
		t.Fatal(err)
	}
	return image, bom
}

func TestTwoBuildsOfOneCommitAreTheSameBytes(t *testing.T) {
	s := testSource(t)
	elsewhere := s
	elsewhere.root = t.TempDir()
	copying := exec.CommandContext(t.Context(), "sh", "-c", `tar -cf - --exclude=node_modules pkg db services | tar -xf - -C "$0"`, elsewhere.root)
	copying.Dir = s.root
	if output, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	digest := func(image v1.Image) string {
		path := filepath.Join(t.TempDir(), "image.tar")
		if err := writeImage(path, image, "fixdesk/crm:1", s.time); err != nil {
			t.Fatal(err)
		}
		if err := writeSums(filepath.Dir(path), []string{"image.tar"}); err != nil {
			t.Fatal(err)
		}
		sum, err := os.ReadFile(filepath.Join(filepath.Dir(path), "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		return string(sum)
	}
	here, _ := testImage(t, "crm")
	first := digest(here)
	again, _ := newTestImage(t, elsewhere, "crm")
	if second := digest(again); first != second {
		t.Errorf("built in another folder the image is %s, not %s", second, first)
	}
	elsewhere.version = "1.2.4-test"
	newer, _ := newTestImage(t, elsewhere, "crm")
	if other := digest(newer); first == other { // the control
		t.Error("another version has the same bytes")
	}
}

func TestImageHasOneProgramAndRunsItAsANumericUser(t *testing.T) {
	s := testSource(t)
	for _, service := range services {
		image, bom := testImage(t, service)
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c, program := config.Config, "/usr/local/bin/"+service
		if c.User != "10001:10001" || !slices.Equal(c.Entrypoint, []string{program}) || !slices.Equal(c.Cmd, []string{"serve"}) ||
			c.Healthcheck == nil || !slices.Equal(c.Healthcheck.Test, []string{"CMD", program, "health"}) ||
			c.Labels["org.opencontainers.image.version"] != s.version || c.Labels["org.opencontainers.image.revision"] != s.revision ||
			config.OS != "linux" || config.Architecture != here.arch || !config.Created.Time.Equal(s.time) {
			t.Errorf("%s: %+v", service, config)
		}
		var programs []string
		for name, entry := range contents(t, image) {
			name = strings.TrimSuffix(name, "/")
			if entry.Mode&0o111 != 0 && entry.Typeflag == tar.TypeReg {
				programs = append(programs, "/"+name)
			}
			if entry.Uid != 0 && name != "var/lib/fixdesk" || entry.Mode&0o022 != 0 && name != "tmp" {
				t.Errorf("%s: the process may change %s", service, name)
			}
			if !entry.ModTime.Equal(s.time) {
				t.Errorf("%s: %s is of %s", service, name, entry.ModTime)
			}
		}
		if !slices.Equal(programs, []string{program}) {
			t.Errorf("%s: the programs are %v", service, programs)
		}
		checkBOM(t, bom, s)
	}
}

func checkBOM(t *testing.T, bom []byte, s source) {
	t.Helper()
	var parsed struct {
		BOMFormat  string `json:"bomFormat"`
		Metadata   struct{ Component struct{ Version string } }
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(bom, &parsed); err != nil || parsed.BOMFormat != "CycloneDX" || parsed.Metadata.Component.Version != s.version {
		t.Fatalf("%v: %s", err, bom)
	}
	found := map[string]bool{}
	for _, c := range parsed.Components {
		found[c.Name] = c.Version != "" && (c.PURL == "pkg:golang/"+c.Name+"@"+strings.TrimPrefix(c.Version, "go") || strings.HasPrefix(c.Name, "fixdesk/"))
	}
	for _, name := range []string{"std", "github.com/jackc/pgx/v5", "github.com/pressly/goose/v3", "fixdesk/pkg"} {
		if !found[name] {
			t.Errorf("%s is not named among %d", name, len(found))
		}
	}
	for name := range found {
		if strings.Contains(name, "k8s.io") || strings.Contains(name, "go-containerregistry") {
			t.Errorf("a service carries %s", name)
		}
	}
}

// contents lists the files of an image by their names.
func contents(t *testing.T, image v1.Image) map[string]*tar.Header {
	t.Helper()
	entries := map[string]*tar.Header{}
	content := mutate.Extract(image)
	defer content.Close()
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		entries[h.Name] = h
	}
}

func TestImageArchiveIsReadAsOCILayoutAndAsDockerArchive(t *testing.T) {
	s := testSource(t)
	image, _ := testImage(t, "notification")
	want, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := writeImage(path, image, "fixdesk/notification:1", s.time); err != nil {
		t.Fatal(err)
	}
	docker, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(docker); err != nil {
		t.Error(err)
	}
	name, err := docker.ConfigName()
	if wanted, _ := image.ConfigName(); err != nil || name != wanted {
		t.Errorf("as docker's archive its configuration is %s, not %s (%v)", name, wanted, err)
	}
	dir := t.TempDir()
	if output, err := exec.CommandContext(t.Context(), "tar", "-xf", path, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	if _, err := index.Image(want); err != nil {
		t.Error(err)
	}
}

func TestImagesArePushedUnderOneTag(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	image, _ := testImage(t, "crm")
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: here.os, Architecture: here.arch}}})
	reference := strings.TrimPrefix(server.URL, "http://") + "/fixdesk/crm:1"
	if err := pushIndex(t.Context(), index, reference); err != nil {
		t.Fatal(err)
	}
	pulled, err := crane.Pull(reference, crane.WithPlatform(&v1.Platform{OS: here.os, Architecture: here.arch}))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := pulled.Digest()
	if want, _ := image.Digest(); got != want {
		t.Errorf("pulled %s, pushed %s", got, want)
	}
}

func TestCertificatesOfImagesAreRead(t *testing.T) {
	for _, f := range baseFiles() {
		if strings.HasSuffix(f.name, ".crt") {
			if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(f.content) || bytes.Count(f.content, []byte("BEGIN")) < 100 {
				t.Errorf("%d bytes", len(f.content))
			}
			return
		}
	}
	t.Error("there are none")
}

func TestArchiveHasSortedFilesOfOneTime(t *testing.T) {
	at := time.Unix(1_700_000_000, 0).UTC()
	path := filepath.Join(t.TempDir(), "a.tar.gz")
	if err := writeTarGzip(path, []file{{name: "b", mode: 0o755, content: []byte("b")}, {name: "a/", mode: 0o755}}, at); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !h.ModTime.Equal(at) || h.Uid != 0 || h.Uname != "" {
			t.Fatalf("%+v, %v", h, err)
		}
		names = append(names, h.Name)
	}
	if !slices.Equal(names, []string{"a/", "b"}) {
		t.Errorf("%v", names)
	}
}

func TestReleaseNamesExistingFiles(t *testing.T) {
	files, err := archivedFiles(testSource(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.name)
	}
	for _, want := range []string{"README.md", "docs/server.md", "deploy/systemd/fixdesk-crm.service", "db/serving-role.sql"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing among %v", want, names)
		}
	}
	checked := 0
	for _, f := range files {
		if !strings.HasSuffix(f.name, ".md") {
			continue
		}
		for _, link := range relativeLink.FindAllSubmatch(f.content, -1) {
			checked++
			to := path.Join(path.Dir(f.name), string(link[1]))
			if !slices.ContainsFunc(names, func(name string) bool { return name == to || strings.HasPrefix(name, to+"/") }) {
				t.Errorf("%s links to %s, which is not in the archive", f.name, to)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d links were found", checked)
	}
}

// relativeLink matches a link of Markdown to another file.
var relativeLink = regexp.MustCompile(`\]\(([^)#: ]+/[^)#: ]+|[^)#: ]+\.md)(?:#[^)]*)?\)`)
