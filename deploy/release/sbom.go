package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom lists what a program is made of, from what the Go command recorded in it, as
// CycloneDX 1.6 in JSON.
func sbom(program string, s source, service string, p platform) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("read what %s is made of: %w", service, err)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: s.time.Format("2006-01-02T15:04:05Z"),
		Component: &cdx.Component{
			BOMRef: service, Type: cdx.ComponentTypeApplication, Name: "fixdesk-" + service, Version: s.version,
			Properties: &[]cdx.Property{{Name: "revision", Value: s.revision}, {Name: "platform", Value: p.String()}},
		},
	}
	components := []cdx.Component{{
		BOMRef: "std", Type: cdx.ComponentTypeLibrary, Name: "std", Version: info.GoVersion,
		PackageURL: "pkg:golang/std@" + info.GoVersion[len("go"):],
	}}
	for _, module := range info.Deps {
		c := cdx.Component{BOMRef: module.Path, Type: cdx.ComponentTypeLibrary, Name: module.Path, Version: module.Version}
		if module.Replace != nil { // a module of this repository
			c.Version = s.version
		} else {
			c.PackageURL = "pkg:golang/" + module.Path + "@" + module.Version
			c.Properties = &[]cdx.Property{{Name: "go.sum", Value: module.Sum}}
		}
		components = append(components, c)
	}
	bom.Components = &components
	var out bytes.Buffer
	err = cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}
