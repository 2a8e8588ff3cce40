package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is the numeric user and group of the processes in the images.
const user = 10001

var imagePlatforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}}

// ports are what each service listens on: requests, operations, and mail.
var ports = map[string][]string{"crm": {"8080/tcp", "9080/tcp"}, "notification": {"8081/tcp", "9081/tcp", "1026/tcp"}}

// makeImages writes an image of each service and platform into the folder out, and
// pushes them, each service's under one tag, unless registry is empty.
func makeImages(ctx context.Context, s source, out, registry string) (names []string, err error) {
	for _, service := range services {
		index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, p := range imagePlatforms {
			image, bom, err := newImage(ctx, s, service, p)
			if err != nil {
				return nil, err
			}
			base := fmt.Sprintf("fixdesk-%s-%s-%s", service, s.version, p)
			if err := writeImage(filepath.Join(out, base+".image.tar"), image, "fixdesk/"+service+":"+s.version, s.time); err != nil {
				return nil, err
			}
			if err := publish(filepath.Join(out, base+".cdx.json"), bom); err != nil {
				return nil, err
			}
			names = append(names, base+".image.tar", base+".cdx.json")
			index = mutate.AppendManifests(index, mutate.IndexAddendum{
				Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}},
			})
		}
		if registry == "" {
			continue
		}
		if err := pushIndex(ctx, index, registry+"/"+service+":"+s.version); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func pushIndex(ctx context.Context, index v1.ImageIndex, reference string) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push %s: %w", reference, err)
	}
	return nil
}

// newImage makes the image of a service: its program, certificates and the list of
// what it is made of, without a shell or any other program.
func newImage(ctx context.Context, s source, service string, p platform) (image v1.Image, bom []byte, err error) {
	dir, err := os.MkdirTemp("", "fixdesk-image-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	path, err := build(ctx, s, service, p, dir)
	if err != nil {
		return nil, nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if bom, err = sbom(path, s, service, p); err != nil {
		return nil, nil, err
	}
	image = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, files := range [][]file{baseFiles(), programFiles(service, program, bom)} {
		layer, err := newLayer(files, s.time)
		if err != nil {
			return nil, nil, err
		}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: s.time}, CreatedBy: "make release"}}); err != nil {
			return nil, nil, err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.os, p.arch, v1.Time{Time: s.time}
	config.Config = configOf(s, service)
	image, err = mutate.ConfigFile(image, config)
	return image, bom, err
}

// baseFiles are the same in all images. /tmp and /var/lib/fixdesk are for volumes,
// since the root is meant to be read-only.
func baseFiles() []file {
	var certificates bytes.Buffer
	for root := range bundle.Roots() {
		_ = pem.Encode(&certificates, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // to memory
	}
	files := []file{
		{name: "etc/passwd", mode: 0o644, content: fmt.Appendf(nil, "root:x:0:0:root:/:/\nfixdesk:x:%d:%[1]d:fixdesk:/var/lib/fixdesk:/\n", user)},
		{name: "etc/group", mode: 0o644, content: fmt.Appendf(nil, "root:x:0:\nfixdesk:x:%d:\n", user)},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: certificates.Bytes()},
		{name: "tmp/", mode: 0o1777},
		{name: "var/lib/fixdesk/", mode: 0o750, owner: user},
	}
	for _, folder := range []string{"etc/", "etc/ssl/", "etc/ssl/certs/", "var/", "var/lib/"} {
		files = append(files, file{name: folder, mode: 0o755})
	}
	return files
}

func programFiles(service string, program, bom []byte) []file {
	files := []file{
		{name: "usr/local/bin/" + service, mode: 0o755, content: program},
		{name: "usr/share/sbom/" + service + ".cdx.json", mode: 0o644, content: bom},
	}
	for _, folder := range []string{"usr/", "usr/local/", "usr/local/bin/", "usr/share/", "usr/share/sbom/"} {
		files = append(files, file{name: folder, mode: 0o755})
	}
	return files
}

func newLayer(files []file, at time.Time) (v1.Layer, error) {
	var content bytes.Buffer
	if err := writeTar(&content, files, at); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

func configOf(s source, service string) v1.Config {
	exposed := map[string]struct{}{}
	for _, port := range ports[service] {
		exposed[port] = struct{}{}
	}
	program := "/usr/local/bin/" + service
	return v1.Config{
		User: fmt.Sprintf("%d:%[1]d", user), WorkingDir: "/var/lib/fixdesk", ExposedPorts: exposed,
		Entrypoint: []string{program}, Cmd: []string{"serve"}, Env: []string{"PATH=/usr/local/bin"},
		StopSignal: "SIGTERM",
		Healthcheck: &v1.HealthConfig{
			Test: []string{"CMD", program, "health"}, Interval: 10 * time.Second, Timeout: 6 * time.Second, Retries: 3,
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "fixdesk-" + service,
			"org.opencontainers.image.version":  s.version,
			"org.opencontainers.image.revision": s.revision,
			"org.opencontainers.image.created":  s.time.Format(time.RFC3339),
		},
	}
}

// writeImage writes an archive that is both an OCI image layout and what "docker
// load" of every version reads.
func writeImage(path string, image v1.Image, tag string, at time.Time) error {
	dir, err := os.MkdirTemp("", "fixdesk-layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: image, Descriptor: v1.Descriptor{Annotations: map[string]string{"org.opencontainers.image.ref.name": tag}},
	})
	if _, err := layout.Write(dir, index); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	files, err := readTree(dir, "")
	if err != nil {
		return err
	}
	manifest, err := dockerManifest(image, tag)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := writeTar(&out, append(files, file{name: "manifest.json", mode: 0o644, content: manifest}), at); err != nil {
		return err
	}
	return publish(path, out.Bytes())
}

// dockerManifest is the manifest.json of "docker save".
func dockerManifest(image v1.Image, tag string) ([]byte, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	blob := func(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }
	entry := struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{Config: blob(manifest.Config.Digest), RepoTags: []string{tag}}
	for _, layer := range manifest.Layers {
		entry.Layers = append(entry.Layers, blob(layer.Digest))
	}
	return json.Marshal([]any{entry})
}
