package manifests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// decodeDashboard decodes a dashboard with Grafana's own types. A field that they have
// not or require is an error, also in the options of a panel and in a query, whose types
// the plugins add.
//
//nolint:staticcheck // The format that replaces this one is of Grafana 12 and later alone.
func decodeDashboard(content []byte) (d dashboard.Dashboard, err error) {
	plugins.RegisterDefaultPlugins()
	if err := refusal(new(dashboard.Dashboard).UnmarshalJSONStrict(content)); err != nil {
		return d, err
	}
	// The strict decoding of 0.0.22 drops options and queries, and reads the fields of a
	// panel's values leniently.
	if err := json.Unmarshal(content, &d); err != nil {
		return d, err
	}
	var raw struct {
		Panels []struct{ FieldConfig json.RawMessage }
	}
	if err := json.Unmarshal(content, &raw); err != nil {
		return d, err
	}
	for i, p := range raw.Panels {
		if err := refusal(new(dashboard.FieldConfigSource).UnmarshalJSONStrict(p.FieldConfig)); err != nil {
			return d, fmt.Errorf("panels[%d].fieldConfig: %w", i, err)
		}
	}
	return d, d.Validate()
}

// refusal is nil for the empty list of errors that the strict decoding returns when it
// found none.
func refusal(err error) error {
	if list, ok := err.(cog.BuildErrors); ok && len(list) == 0 {
		return nil
	}
	return err
}

func TestGrafanaReadsTheDashboards(t *testing.T) {
	files, err := filepath.Glob("../grafana/*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("%q, %v", files, err)
	}
	dashboards := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := decodeDashboard(content)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if d.Uid == nil || dashboards[*d.Uid] {
			t.Errorf("%s has no id of its own", file)
		} else {
			dashboards[*d.Uid] = true
		}
		panels := map[uint32]bool{}
		for _, p := range d.Panels {
			if err := checkPanel(p.Panel, panels); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// checkPanel checks that the types of the panel and of its queries were known when it was
// decoded, and that it asks the data source that the reader has chosen.
func checkPanel(p *dashboard.Panel, ids map[uint32]bool) error {
	if p == nil || p.Id == nil || ids[*p.Id] || p.Title == nil {
		return fmt.Errorf("a panel without a title or an id of its own: %+v", p)
	}
	ids[*p.Id] = true
	switch p.Options.(type) {
	case *stat.Options, *timeseries.Options:
	default:
		return fmt.Errorf("%q has options of the type %T", *p.Title, p.Options)
	}
	for _, target := range p.Targets {
		if _, ok := target.(*prometheus.Dataquery); !ok {
			return fmt.Errorf("%q has a query of the type %T", *p.Title, target)
		}
	}
	if p.Datasource == nil || p.Datasource.Uid == nil || *p.Datasource.Uid != "${datasource}" {
		return fmt.Errorf("%q asks another data source", *p.Title)
	}
	return nil
}

func TestFieldsThatGrafanaHasNotAreRefused(t *testing.T) { // the control
	content, err := os.ReadFile("../grafana/objectives.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"dashboard":          {`"refresh":`, `"refreshed":`},
		"options of a panel": {`"showLegend":`, `"displayLegend":`},
		"query":              {`"legendFormat":`, `"legend":`},
		"values of a panel":  {`"unit":`, `"units":`},
		"value":              {`"graphTooltip": 1`, `"graphTooltip": "shared"`},
	} {
		changed := strings.Replace(string(content), change[0], change[1], 1)
		if _, err := decodeDashboard([]byte(changed)); changed == string(content) || err == nil {
			t.Errorf("%s: %s is accepted", name, change[1])
		}
	}
}
