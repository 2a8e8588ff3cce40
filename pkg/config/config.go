// Package config reads a service's settings from environment variables and
// explains them. It owns the messages an operator sees when a value is wrong
// and the type Secret; only a service's app room may import it.
//
// The settings are a struct. Each field has the tags of envconfig
// (split_words:"true", default, required, or envconfig for a name of its own)
// and desc, its meaning in one line.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/kelseyhightower/envconfig"
)

// Load fills cfg, a pointer to a struct, from the variables that start with
// prefix and an underscore. Its error names the variable and says what would
// be right; it never repeats a value, since that could be a secret.
func Load(prefix string, cfg any) error {
	vars, err := variables(prefix, cfg)
	if err != nil {
		return err
	}
	defer shieldFromBareNames(vars)()
	err = envconfig.Process(prefix, cfg)
	var parse *envconfig.ParseError
	if errors.As(err, &parse) {
		return parseError(vars, parse)
	}
	if err != nil { // a required one is missing: the message names it, no value
		for _, v := range vars {
			if v.required && strings.Contains(err.Error(), " "+v.name()+" ") {
				return fmt.Errorf("%s must be set: %s (%s)", v.Key, v.desc, v.kind)
			}
		}
		return fmt.Errorf("read configuration: %w", err)
	}
	return nil
}

// Usage prints each variable with its type, default and meaning, aligned.
func Usage(w io.Writer, prefix string, cfg any) error {
	vars, err := variables(prefix, cfg)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VARIABLE\tTYPE\tDEFAULT\tMEANING")
	for _, v := range vars {
		def := v.def
		switch {
		case v.required:
			def = "(required)"
		case def == "":
			def = "-"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v.Key, v.kind, def, v.desc)
	}
	return table.Flush()
}

// Unknown lists, sorted, the variables of the environment that start with
// prefix and an underscore and are not settings of cfg: most likely
// misspelt. Names that start with one of others are left out.
func Unknown(prefix string, cfg any, others ...string) []string {
	vars, err := variables(prefix, cfg)
	if err != nil {
		return nil
	}
	var unknown []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		isOther := slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(name, o) })
		isSetting := slices.ContainsFunc(vars, func(v variable) bool { return v.Key == name })
		if strings.HasPrefix(name, strings.ToUpper(prefix)+"_") && !isOther && !isSetting {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// variable is one setting as envconfig sees it.
type variable struct {
	Key, alt        string
	kind, def, desc string
	required        bool
	secret, decodes bool
}

// name is what envconfig calls a missing variable: its own name if it has one.
func (v variable) name() string {
	if v.alt != "" {
		return v.alt
	}
	return v.Key
}

// variables asks envconfig for the names it will look for, so that there is
// one set of naming rules.
func variables(prefix string, cfg any) ([]variable, error) {
	var vars []variable
	collect := func(info any) string {
		s := reflect.ValueOf(info)
		tags := s.FieldByName("Tags").Interface().(reflect.StructTag)
		typ := s.FieldByName("Field").Interface().(reflect.Value).Type()
		kind, decodes := describe(typ)
		vars = append(vars, variable{
			Key: s.FieldByName("Key").String(), alt: s.FieldByName("Alt").String(),
			kind: kind, decodes: decodes, secret: typ == reflect.TypeFor[Secret](),
			def: tags.Get("default"), desc: tags.Get("desc"),
			required: tags.Get("required") == "true",
		})
		return ""
	}
	tmpl, err := template.New("variables").
		Funcs(template.FuncMap{"collect": collect}).
		Parse("{{range .}}{{collect .}}{{end}}")
	if err == nil {
		err = envconfig.Usaget(prefix, cfg, io.Discard, tmpl)
	}
	if err != nil {
		return nil, fmt.Errorf("list configuration variables: %w", err)
	}
	return vars, nil
}

// shieldFromBareNames hides variables such as DATABASE_URL while
// CRM_DATABASE_URL is looked for: envconfig falls back to the name without the
// prefix, and what another program's variable says is not our setting.
func shieldFromBareNames(vars []variable) (restore func()) {
	hidden := map[string]string{}
	for _, v := range vars {
		if v.alt == "" || v.alt == v.Key {
			continue
		}
		if value, ok := os.LookupEnv(v.alt); ok {
			hidden[v.alt] = value
			_ = os.Unsetenv(v.alt)
		}
	}
	return func() {
		for name, value := range hidden {
			_ = os.Setenv(name, value)
		}
	}
}

// parseError says what would be right. A type's own decoder explains itself;
// the errors of strconv and time repeat the value and are dropped.
func parseError(vars []variable, parse *envconfig.ParseError) error {
	i := slices.IndexFunc(vars, func(v variable) bool { return v.Key == parse.KeyName })
	if i < 0 {
		return fmt.Errorf("%s has a bad value", parse.KeyName)
	}
	v := vars[i]
	msg := fmt.Sprintf("%s has a bad value: want %s", v.Key, v.kind)
	if v.decodes && !v.secret && (parse.Value == "" || !strings.Contains(parse.Err.Error(), parse.Value)) {
		msg = fmt.Sprintf("%s has a bad value: %s", v.Key, parse.Err)
	}
	if v.desc != "" {
		msg += " (" + v.desc + ")"
	}
	return errors.New(msg)
}
