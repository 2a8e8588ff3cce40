// Package config reads a service's settings from environment variables and
// describes them. It has the messages for wrong values and the type Secret; of a
// service, only its app package may import it.
//
// The settings are a struct. Each field has the tags of envconfig
// (split_words:"true", default, or envconfig for a name of its own)
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
	"text/template"

	"github.com/kelseyhightower/envconfig"
)

// Load fills cfg, a pointer to a struct, from the variables that start with
// prefix and an underscore. A Secret may be in a file instead, which the variable
// with _FILE at the end of its name names; a newline at the file's end is not part of
// it. Load's error has a line for each bad value, which
// names the variable and states what would be right; it never repeats a value,
// since that could be a secret. A setting with a bad value has its default.
func Load(prefix string, cfg any) error {
	vars, err := variables(prefix, cfg)
	if err != nil {
		return err
	}
	changed := environment{}
	defer changed.restore()
	for _, v := range vars {
		if v.alt != v.Key {
			changed.hide(v.alt)
		}
	}
	var bad []error
	if err := readSecrets(vars, changed); err != nil {
		bad = append(bad, err)
	}
	for {
		err := envconfig.Process(prefix, cfg)
		var parse *envconfig.ParseError
		if !errors.As(err, &parse) {
			return errors.Join(append(bad, err)...)
		}
		bad = append(bad, parseError(vars, parse))
		if !changed.hide(parse.KeyName) { // its default is bad
			return errors.Join(bad...)
		}
	}
}

// Usage prints each variable with its default, and below it its meaning and
// the type of its value unless that is text, in lines of at most 80 columns.
func Usage(w io.Writer, prefix string, cfg any) error {
	vars, err := variables(prefix, cfg)
	if err != nil {
		return err
	}
	for _, v := range vars {
		head := "  " + v.Key
		if v.def != "" {
			head += "=" + v.def
		}
		if _, err := fmt.Fprintln(w, head); err != nil {
			return err
		}
		meaning := v.desc
		switch {
		case v.secret:
			meaning += " (" + v.kind + ", or the path of its file in " + v.Key + fileSuffix + ")"
		case v.kind != "text":
			meaning += " (" + v.kind + ")"
		}
		for _, line := range wrap(meaning, usageWidth-len(usageIndent)) {
			if _, err := fmt.Fprintln(w, usageIndent+line); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	usageWidth  = 80
	usageIndent = "        "
)

// wrap breaks text into lines of at most width bytes, at spaces and, in words
// that are longer than that, after "|".
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	add := func(word, separator string) {
		if line != "" && len(line)+len(separator)+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += separator
		}
		line += word
	}
	for _, word := range strings.Fields(text) {
		if len(word) <= width {
			add(word, " ")
			continue
		}
		for i, part := range strings.SplitAfter(word, "|") {
			if i == 0 {
				add(part, " ")
			} else {
				add(part, "")
			}
		}
	}
	return append(lines, line)
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
		isSetting := slices.ContainsFunc(vars, func(v variable) bool {
			return v.Key == name || v.secret && v.Key+fileSuffix == name
		})
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
	secret, decodes bool
}

// variables gets the names from envconfig, so that there is one set of naming
// rules.
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

// environment has the variables that Load changes, with their values of before; nil
// for one that was not set. envconfig falls back to a name without the prefix, and
// DATABASE_URL of another program is not CRM_DATABASE_URL; and it stops at the first
// bad value, so that the second is found only without the first.
type environment map[string]*string

// hide reports whether the variable was set.
func (e environment) hide(name string) bool {
	value, ok := os.LookupEnv(name)
	if ok {
		e.keep(name, &value)
		_ = os.Unsetenv(name)
	}
	return ok
}

// set gives a value to a variable that was not set.
func (e environment) set(name, value string) {
	e.keep(name, nil)
	_ = os.Setenv(name, value)
}

func (e environment) keep(name string, value *string) {
	if _, changed := e[name]; !changed {
		e[name] = value
	}
}

func (e environment) restore() {
	for name, value := range e {
		if value == nil {
			_ = os.Unsetenv(name)
		} else {
			_ = os.Setenv(name, *value)
		}
	}
}

// parseError says what would be right. The error of a type's own decoder is used;
// those of strconv and time repeat the value and are dropped.
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
