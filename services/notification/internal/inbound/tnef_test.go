package inbound

import (
	"encoding/base64"
	"encoding/binary"
	"testing"
	"unicode/utf16"
)

// winmail makes a winmail.dat with a text, a file whose long name is a property, and
// another that has its old name alone.
func winmail() []byte {
	out := binary.LittleEndian.AppendUint32(nil, tnefSignature)
	out = binary.LittleEndian.AppendUint16(out, 1)
	attribute := func(level byte, id uint32, data []byte) {
		out = append(out, level)
		out = binary.LittleEndian.AppendUint32(out, id)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
		out = append(out, data...)
		sum := uint16(0)
		for _, b := range data {
			sum += uint16(b)
		}
		out = binary.LittleEndian.AppendUint16(out, sum)
	}
	unicode := func(id uint16, text string) []byte {
		data := binary.LittleEndian.AppendUint16(nil, 0x1f)
		data = binary.LittleEndian.AppendUint16(data, id)
		units := append(utf16.Encode([]rune(text)), 0)
		data = binary.LittleEndian.AppendUint32(data, 1)
		data = binary.LittleEndian.AppendUint32(data, uint32(2*len(units)))
		for _, u := range units {
			data = binary.LittleEndian.AppendUint16(data, u)
		}
		for len(data)%4 != 0 {
			data = append(data, 0)
		}
		return data
	}
	number := []byte{3, 0, 1, 0x0e, 7, 0, 0, 0}
	attribute(1, attMessageProps, append(append([]byte{2, 0, 0, 0}, number...), unicode(propBody, "Grüße aus Outlook\r\n")...))
	attribute(2, attFileBegin, make([]byte, 14))
	attribute(2, attFileTitle, []byte("RECHN~1.PDF\x00"))
	attribute(2, attFileData, []byte("%PDF"))
	attribute(2, attFileProps, append([]byte{1, 0, 0, 0}, unicode(propLongFileName, "Rechnung März.pdf")...))
	attribute(2, attFileBegin, make([]byte, 14))
	attribute(2, attFileTitle, []byte("a.txt\x00"))
	attribute(2, attFileData, []byte("hello"))
	return out
}

func TestWinmailIsUnpacked(t *testing.T) {
	t.Parallel()
	c := Rules{}.Parse(message("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: text/plain", "", "", "--m",
		"Content-Type: application/ms-tnef; name=winmail.dat", "Content-Transfer-Encoding: base64", "",
		base64.StdEncoding.EncodeToString(winmail()), "--m--"), "a@example.com")
	if c.Text != "Grüße aus Outlook\n" || files(c) != "Rechnung März.pdf application/octet-stream 4; a.txt application/octet-stream 5" {
		t.Errorf("text %q, files %q", c.Text, files(c))
	}
}

func TestWinmailThatIsNoneStaysAFile(t *testing.T) {
	t.Parallel()
	c := Rules{}.Parse(message("Content-Type: application/ms-tnef; name=winmail.dat", "", "no tnef"), "a@example.com")
	if files(c) != "winmail.dat application/ms-tnef 9" {
		t.Errorf("files %q", files(c))
	}
}
