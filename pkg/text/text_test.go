package text_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"fixdesk/pkg/text"
)

const (
	family  = "👨\u200d👩\u200d👧"
	heart   = "❤\ufe0f"
	england = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
)

func TestLineIsCleanedOrRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		in, want string
		err      error
	}{
		"plain":                       {"Printer on fire", "Printer on fire", nil},
		"padding":                     {" \t\u00a0\u3000\u200b\ufeffPrinter\u2060\r\n ", "Printer", nil},
		"NFD becomes NFC":             {"Cafe\u0301", "Café", nil},
		"emoji of several characters": {family + heart + england, family + heart + england, nil},
		"emoji alone":                 {heart, heart, nil},
		"Hebrew and Arabic":           {"שלום مرحبا", "שלום مرحبا", nil},
		"Persian with a non-joiner":   {"می\u200cخواهم", "می\u200cخواهم", nil},
		"characters at the limit":     {strings.Repeat("ü", 20), strings.Repeat("ü", 20), nil},
		"limit counted when cleaned":  {strings.Repeat(" ", 30) + strings.Repeat("u\u0308", 20), strings.Repeat("ü", 20), nil},
		"empty":                       {"", "", text.ErrBlank},
		"blank":                       {" \t\n\u00a0\u200b", "", text.ErrBlank},
		"line break":                  {"a\nBcc: b", "", text.ErrLine},
		"carriage return":             {"a\rb", "", text.ErrLine},
		"line separator":              {"a\u2028b", "", text.ErrLine},
		"tab":                         {"a\tb", "", text.ErrLine},
		"NUL":                         {"a\x00b", "", text.ErrLine},
		"escape":                      {"a\x1b[31mb", "", text.ErrLine},
		"C1 control":                  {"a\u0085b", "", text.ErrLine},
		"invalid UTF-8":               {"a\xffb", "", text.ErrEncoding},
		"direction override":          {"exe.\u202egpj", "", text.ErrDirection},
		"isolate":                     {"a\u2066b", "", text.ErrDirection},
		"direction mark":              {"a\u200eb", "", text.ErrDirection},
		"Arabic letter mark":          {"a\u061cb", "", text.ErrDirection},
		"joiners alone":               {"\u200d\u200d", "", text.ErrInvisible},
		"variation selectors alone":   {"\ufe0f\ufe0f", "", text.ErrInvisible},
		"Hangul fillers alone":        {"\u3164\u115f", "", text.ErrInvisible},
		"blank braille alone":         {"\u2800", "", text.ErrInvisible},
		"tags alone":                  {"\U000e0041", "", text.ErrInvisible},
		"accents alone":               {"\u0301\u0301", "", text.ErrInvisible},
		"soft hyphens alone":          {"\u00ad", "", text.ErrInvisible},
	} {
		got, err := text.Line(test.in, 20)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, err, test.want, test.err)
		}
	}
	if _, err := text.Line(strings.Repeat("ü", 21), 20); err == nil || err.Error() != "must have at most 20 characters" {
		t.Errorf("too long: %v", err)
	}
}

func TestProseKeepsLinesAndTabs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		in, want string
		err      error
	}{
		"line breaks of all kinds": {"a\r\nb\rc\nd\u2028e\u2029f\tg", "a\nb\nc\nd\ne\nf\tg", nil},
		"blank lines inside":       {"\r\n\r\na\r\n\r\nb\n", "a\n\nb", nil},
		"NUL":                      {"a\x00b", "", text.ErrControl},
		"vertical tab":             {"a\vb", "", text.ErrControl},
		"override":                 {"a\n\u202eb", "", text.ErrDirection},
		"lines without text":       {"\n\u200d\n\ufe0f", "", text.ErrInvisible},
		"blank lines":              {"\n\r\n\t", "", text.ErrBlank},
	} {
		got, err := text.Prose(test.in, 100)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, err, test.want, test.err)
		}
	}
}

func TestNameThatResemblesALinkOrIsMisleadingIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Ada Lovelace", "J.R.R. Tolkien", "J.Smith", "St.John Mandel", "Dr. med. Anna Weiß", "Dr.med. Anna Weiß",
		"Jane Doe, M.Sc.", "Dipl.-Ing. Müller", "Jane @ Acme", "O'Brien-Núñez", "李小龍", "علی\u200cرضا", "Ann " + family, "X Æ A-12",
		"Smith and Sons Ltd.", "Acme & Co.", "24/7 Support", "نور",
	} {
		if got, err := text.Name(name, 100); err != nil || got != name {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]error{
		"Win at https://evil.test":     text.ErrLink,
		"evil.example":                 text.ErrLink,
		"see www.evil.example now":     text.ErrLink,
		"EVIL.COM":                     text.ErrLink,
		"t.co/abc":                     text.ErrLink,
		"пример.рф":                    text.ErrLink,
		"evil。example":                 text.ErrLink,
		"call me@evil.example":         text.ErrLink,
		"me＠evil":                      text.ErrLink,
		"Ad\u200bmin":                  text.ErrHidden,
		"Ad\u00admin":                  text.ErrHidden,
		"Ad\u3164min":                  text.ErrHidden,
		"Ada\nLovelace":                text.ErrLine,
		"Ada\u202eLovelace":            text.ErrDirection,
		"\u200d":                       text.ErrInvisible,
		" ":                            text.ErrBlank,
		"\u200b\u200b":                 text.ErrBlank,
		"a\u0000":                      text.ErrLine,
		"Ada <ada@example.com> Byron ": text.ErrLink,
	} {
		if got, err := text.Name(name, 100); !errors.Is(err, want) {
			t.Errorf("%q: %q, %v; want %v", name, got, err, want)
		}
	}
}

func TestFoldMakesSpellingsEqual(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain words": "plain words", "CAFÉ": "cafe", "cafe\u0301": "cafe", "Straße": "strasse", "STRASSE": "strasse",
		"İstanbul": "istanbul", "Ångström": "angstrom", "smørrebrød": "smorrebrod", "Łódź": "lodz", "Æsir": "aesir",
		"Tiếng Việt": "tieng viet", "Όσος": "οσοσ", "ﬁne": "fine", "Ｆｉｘ": "fix", "ёлка": "елка",
		"がぎ": "がぎ", "हिन्दी": "हिन्दी", "❤\ufe0f": "❤", "😀 OK": "😀 ok",
	} {
		if got := text.Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWordsAreFoldedAndSplitForSearch(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Printer on fire!":               "printer on fire",
		"https://example.com/Straße?x=1": "https example com strasse x 1",
		"東京タワー":                          "東 京 タ ワ ー",
		"abc東京":                          "abc 東 京",
		"😀😀 help🔥now":                    "u1f600 u1f600 help u1f525 now",
		"👍🏽":                             "u1f44d",
		family:                           "u1f468 u1f469 u1f467",
		"🇩🇪":                             "u1f1e9 u1f1ea",
		"a + b = c, 100 %":               "a b c 100",
		"علی\u200cرضا":                   "علیرضا",
		"":                               "",
		" ' & | ! <-> : * ":              "",
		"O'Brien":                        "o brien",
	} {
		if got := text.Words(in); got != want {
			t.Errorf("Words(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzCleanedTextKeepsThePolicy(f *testing.F) {
	for _, s := range []string{"", "a", "\u200b a \r\n b\t", "e\u0301", heart, family, "\u202e", "\xff", "a\u2028b", "\u0344\u0958", "me@x.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, clean := range map[string]func(string, int) (string, error){"line": text.Line, "prose": text.Prose, "name": text.Name} {
			got, err := clean(s, 50)
			if err != nil {
				if got != "" {
					t.Errorf("%s: %q with %v", name, got, err)
				}
				continue
			}
			again, err := clean(got, 50)
			n := utf8.RuneCountInString(got)
			if err != nil || again != got || n < 1 || n > 50 || !norm.NFC.IsNormalString(got) || strings.TrimSpace(got) != got {
				t.Errorf("%s: %q becomes %q and then %q, %v", name, s, got, again, err)
			}
			if strings.ContainsFunc(got, func(r rune) bool {
				return unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) && (name != "prose" || r != '\n' && r != '\t')
			}) {
				t.Errorf("%s: %q is accepted as %q", name, s, got)
			}
		}
		folded := text.Fold(s)
		if !utf8.ValidString(folded) || text.Fold(folded) != folded {
			t.Errorf("%q is folded to %q and then %q", s, folded, text.Fold(folded))
		}
		words := text.Words(s)
		if strings.Join(strings.Fields(words), " ") != words {
			t.Errorf("the words of %q are %q", s, words)
		}
	})
}
