package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFileNameIsSafeToShowAndToSave(t *testing.T) {
	for sent, want := range map[string]string{
		"printer.png":                          "printer.png",
		`C:\Users\Ada\Desktop\printer.png`:     "printer.png",
		"../../etc/passwd":                     "passwd",
		"/etc/":                                "file",
		"":                                     "file",
		"..":                                   "file",
		" . ":                                  "file",
		"\u200b\u2060":                         "file",
		"???":                                  "file",
		"photo\u202egnp.exe":                   "photognp.exe",
		"a\r\nSet-Cookie: x.txt":               "a  Set-Cookie_ x.txt",
		"a\x00b\x1f.txt":                       "ab.txt",
		"\xff.txt":                             "\ufffd.txt",
		`say "hi" <b>.txt`:                     "say _hi_ _b_.txt",
		"e\u0301te\u0301.txt":                  "\u00e9t\u00e9.txt",
		".htaccess":                            "htaccess",
		"Zażółć gęślą jaźń.pdf":                "Zażółć gęślą jaźń.pdf",
		"写真.jpeg":                              "写真.jpeg",
		strings.Repeat("x", 300) + ".png":      strings.Repeat("x", 251) + ".png",
		strings.Repeat("é", 200) + ".png":      strings.Repeat("é", 125) + ".png",
		strings.Repeat("x", 300):               strings.Repeat("x", 255),
		"a." + strings.Repeat("extension", 40): ("a." + strings.Repeat("extension", 40))[:255],
	} {
		if got := FileName(sent); got != want {
			t.Errorf("%q becomes %q, want %q", sent, got, want)
		}
	}
}

func FuzzFileNameIsShortCleanAndStable(f *testing.F) {
	f.Add("../x\u202e.txt")
	f.Add(strings.Repeat("\u0301", 400))
	f.Fuzz(func(t *testing.T, sent string) {
		name := FileName(sent)
		if name == "" || len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00\r\n\"") || strings.ContainsFunc(name, changesDirection) {
			t.Fatalf("%q becomes %q", sent, name)
		}
		if again := FileName(name); again != name {
			t.Fatalf("%q becomes %q, then %q", sent, name, again)
		}
	})
}
