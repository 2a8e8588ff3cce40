package inbound

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"

	"github.com/jhillyerd/enmime/v2"
)

// tnef takes the files and the text out of a winmail.dat, which Outlook sends to those
// whose mail program it believes to be Outlook ([MS-OXTNEF]). One that can't be read
// stays a file itself.
func (w *walker) tnef(p *enmime.Part, data []byte) {
	t, ok := readTNEF(data)
	if !ok {
		w.file(fileName(p), p.ContentType, p.ContentID, p.Disposition, data)
		return
	}
	if s := (segment{text: lines(t.text), html: lines(t.html), hasText: t.text != "", hasHTML: t.html != ""}); s.hasText || s.hasHTML {
		if !w.hasBody() {
			w.segments = append(w.segments, s)
		}
	}
	for _, f := range t.files {
		disposition := "attachment"
		if f.id != "" {
			disposition = "inline"
		}
		w.file(cut(oneLine(f.name), 255), f.kind, f.id, disposition, f.data)
	}
	if t.rtf { // the text may be there alone
		w.file(fileName(p), p.ContentType, p.ContentID, p.Disposition, data)
	}
}

func (w *walker) hasBody() bool {
	for _, s := range w.segments {
		if len(bytes.TrimSpace([]byte(s.text))) > 0 || s.hasHTML {
			return true
		}
	}
	return false
}

type tnefMessage struct {
	text, html string
	rtf        bool // the text is there as compressed RTF alone
	files      []tnefFile
}

type tnefFile struct {
	name, kind, id string
	data           []byte
}

// The attributes and properties that are read ([MS-OXTNEF], section 2.1; [MS-OXPROPS]).
const (
	tnefSignature = 0x223e9f78

	attBody           = 0x0002800c
	attMessageProps   = 0x00069003
	attFileBegin      = 0x00069002
	attFileTitle      = 0x00018010
	attFileData       = 0x0006800f
	attFileProps      = 0x00069005
	propBody          = 0x1000
	propRTF           = 0x1009
	propHTML          = 0x1013
	propFileData      = 0x3701
	propFileName      = 0x3704
	propLongFileName  = 0x3707
	propFileType      = 0x370e
	propFileContentID = 0x3712
)

func readTNEF(data []byte) (t tnefMessage, ok bool) {
	if len(data) < 6 || binary.LittleEndian.Uint32(data) != tnefSignature {
		return t, false
	}
	for rest := data[6:]; len(rest) >= 9; {
		id, length := binary.LittleEndian.Uint32(rest[1:]), int64(binary.LittleEndian.Uint32(rest[5:]))
		rest = rest[9:]
		if length > int64(len(rest)) {
			return t, len(t.files) > 0 || t.text != "" || t.html != ""
		}
		value := rest[:length]
		rest = rest[min(int64(len(rest)), length+2):]
		t.attribute(id, value)
	}
	return t, true
}

func (t *tnefMessage) attribute(id uint32, value []byte) {
	if id == attFileBegin && len(t.files) < maxParts {
		t.files = append(t.files, tnefFile{})
	}
	switch id {
	case attBody:
		t.text = toUTF8(bytes.TrimRight(value, "\x00"), "")
	case attMessageProps:
		t.properties(value)
	}
	if len(t.files) == 0 {
		return
	}
	file := &t.files[len(t.files)-1]
	switch id {
	case attFileTitle:
		file.name = toUTF8(bytes.TrimRight(value, "\x00"), "")
	case attFileData:
		file.data = value
	case attFileProps:
		file.properties(value)
	}
}

func (t *tnefMessage) properties(data []byte) {
	eachProperty(data, func(id uint16, text string, value []byte) {
		switch id {
		case propBody:
			t.text = text
		case propHTML:
			t.html = htmlText(value, "")
		case propRTF:
			t.rtf = true
		}
	})
	t.rtf = t.rtf && t.text == "" && t.html == ""
}

func (f *tnefFile) properties(data []byte) {
	eachProperty(data, func(id uint16, text string, value []byte) {
		switch id {
		case propLongFileName:
			f.name = text
		case propFileName:
			if f.name == "" {
				f.name = text
			}
		case propFileType:
			f.kind = text
		case propFileContentID:
			f.id = text
		case propFileData:
			if len(f.data) == 0 {
				f.data = value
			}
		}
	})
}

// eachProperty reads a list of MAPI properties until its end or its first defect. Of
// those with several values the first is read.
func eachProperty(data []byte, do func(id uint16, text string, value []byte)) {
	r := tnefReader{data: data}
	for count := r.uint32(); count > 0 && !r.short; count-- {
		kind, id := r.uint16(), r.uint16()
		if id >= 0x8000 { // named
			r.bytes(16)
			if r.uint32() == 0 {
				r.bytes(4)
			} else {
				r.padded()
			}
		}
		values := uint32(1)
		single := kind &^ 0x1000
		isVariable := single == 0x0d || single == 0x1e || single == 0x1f || single == 0x102
		if isVariable || kind&0x1000 != 0 {
			values = r.uint32()
		}
		for i := uint32(0); i < values && !r.short; i++ {
			var value []byte
			if isVariable {
				value = r.padded()
			} else {
				value = r.bytes(fixedSize(single))
			}
			if i == 0 && !r.short {
				do(id, tnefText(single, value), value)
			}
		}
	}
}

func fixedSize(kind uint16) uint32 {
	switch kind {
	case 0x05, 0x06, 0x07, 0x14, 0x40:
		return 8
	case 0x48:
		return 16
	}
	return 4
}

func tnefText(kind uint16, value []byte) string {
	if kind != 0x1f {
		return toUTF8(bytes.TrimRight(value, "\x00"), "")
	}
	units := make([]uint16, len(value)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(value[2*i:])
	}
	return clean(string(bytes.TrimRight([]byte(string(utf16.Decode(units))), "\x00")))
}

// tnefReader reads numbers until the data is too short.
type tnefReader struct {
	data  []byte
	short bool
}

func (r *tnefReader) bytes(n uint32) []byte {
	if int64(n) > int64(len(r.data)) {
		r.short, r.data = true, nil
		return nil
	}
	value := r.data[:n]
	r.data = r.data[n:]
	return value
}

func (r *tnefReader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *tnefReader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// padded reads a length, as many bytes, and those that fill up to a multiple of 4.
func (r *tnefReader) padded() []byte {
	value := r.bytes(r.uint32())
	r.bytes(min(uint32(-len(value))&3, uint32(len(r.data))))
	return value
}
