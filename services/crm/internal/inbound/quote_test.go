package inbound

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// testOurs names the service as Service.ours does.
func testOurs(line string) bool {
	return strings.Contains(strings.ToLower(line), "@fixdesk.test") || strings.Contains(line, "[Fixdesk #")
}

// attributions are what mail programs write above a quoted mail.
var attributions = map[string]string{
	"en gmail":       "On Mon, 12 Jan 2026 at 10:30, Fixdesk <fixdesk@fixdesk.test> wrote:",
	"en gmail long":  "On Mon, 12 Jan 2026 at 10:30, Fixdesk\n<fixdesk@fixdesk.test>\nwrote:",
	"en apple":       "On 12 Jan 2026, at 10:30, Fixdesk <fixdesk@fixdesk.test> wrote:",
	"en thunderbird": "On 12/01/2026 10:30, Fixdesk wrote:",
	"en us":          "On Mon, Jan 12, 2026 at 10:30 AM Fixdesk <fixdesk@fixdesk.test> wrote:",
	"en yahoo":       "On Monday, January 12, 2026 at 10:30:00 AM GMT+1, Fixdesk <fixdesk@fixdesk.test> wrote: ",
	"en proton":      "On Monday, January 12th, 2026 at 10:30 AM, Fixdesk <fixdesk@fixdesk.test> wrote:",
	"de gmail":       "Am Mo., 12. Jan. 2026 um 10:30 Uhr schrieb Fixdesk <fixdesk@fixdesk.test>:",
	"de thunderbird": "Am 12.01.26 um 10:30 schrieb Fixdesk:",
	"de apple":       "> Am 12.01.2026 um 10:30 schrieb Fixdesk <fixdesk@fixdesk.test>:",
	"fr gmail":       "Le lun. 12 janv. 2026 à 10:30, Fixdesk <fixdesk@fixdesk.test> a écrit :",
	"fr thunderbird": "Le 12/01/2026 à 10:30, Fixdesk a écrit\u00a0:",
	"es gmail":       "El lun, 12 ene 2026 a las 10:30, Fixdesk (<fixdesk@fixdesk.test>) escribió:",
	"it gmail":       "Il giorno lun 12 gen 2026 alle ore 10:30 Fixdesk\n<fixdesk@fixdesk.test> ha scritto:",
	"pt gmail":       "Em seg., 12 de jan. de 2026 às 10:30, Fixdesk <fixdesk@fixdesk.test>\nescreveu:",
	"nl gmail":       "Op ma 12 jan 2026 om 10:30 schreef Fixdesk <fixdesk@fixdesk.test>:",
	"pl gmail":       "pon., 12 sty 2026 o 10:30 Fixdesk <fixdesk@fixdesk.test> napisał(a):",
	"cs gmail":       "po 12. 1. 2026 v 10:30 odesílatel Fixdesk <fixdesk@fixdesk.test> napsal:",
	"ru gmail":       "пн, 12 янв. 2026 г. в 10:30, Fixdesk <fixdesk@fixdesk.test>:",
	"ru thunderbird": "12.01.2026 10:30, Fixdesk пишет:",
	"uk gmail":       "пн, 12 січ. 2026 р. о 10:30 Fixdesk <fixdesk@fixdesk.test> пише:",
	"sv gmail":       "Den mån 12 jan. 2026 kl 10:30 skrev Fixdesk <fixdesk@fixdesk.test>:",
	"da gmail":       "Den man. 12. jan. 2026 kl. 10.30 skrev Fixdesk <fixdesk@fixdesk.test>:",
	"nb gmail":       "man. 12. jan. 2026 kl. 10:30 skrev Fixdesk <fixdesk@fixdesk.test>:",
	"fi gmail":       "ma 12. tammik. 2026 klo 10.30 Fixdesk (fixdesk@fixdesk.test) kirjoitti:",
	"hu gmail":       "Fixdesk <fixdesk@fixdesk.test> ezt írta (időpont: 2026. jan. 12., H,\n10:30):",
	"ro gmail":       "În lun., 12 ian. 2026 la 10:30, Fixdesk <fixdesk@fixdesk.test> a scris:",
	"el gmail":       "Στις Δευ 12 Ιαν 2026 στις 10:30 π.μ., ο χρήστης Fixdesk <\nfixdesk@fixdesk.test> έγραψε:",
	"tr gmail":       "Fixdesk <fixdesk@fixdesk.test>, 12 Oca 2026 Pzt, 10:30 tarihinde şunu yazdı:",
	"ja gmail":       "2026年1月12日(月) 10:30 Fixdesk <fixdesk@fixdesk.test>:",
	"zh gmail":       "Fixdesk <fixdesk@fixdesk.test> 于2026年1月12日周一 10:30写道：",
	"ko gmail":       "2026년 1월 12일 (월) 오전 10:30, Fixdesk <fixdesk@fixdesk.test>님이 작성:",
	"ar gmail":       "في الاثنين، 12 يناير 2026 في 10:30 ص تمت كتابة ما يلي بواسطة Fixdesk <\u200efixdesk@fixdesk.test\u200e>:",
	"he gmail":       "\u202bבתאריך יום ב׳, 12 בינו׳ 2026 ב-10:30 מאת \u202aFixdesk\u202c\u200f <\u202afixdesk@fixdesk.test\u202c\u200f>:\u202c",
	"vi gmail":       "Vào Th 2, 12 thg 1, 2026 vào lúc 10:30 Fixdesk <fixdesk@fixdesk.test> đã viết:",
}

const (
	quotedMail   = "> Hello Ada,\n>\n> Erik wrote:\n> > From which tray?\n>\n> Fixdesk"
	unquotedMail = "Hello Ada,\n\nErik wrote: From which tray?\n\nFixdesk"
)

func TestQuotedMailIsCutInEveryLanguage(t *testing.T) {
	for name, line := range attributions {
		answer := "From the second one.\n\nAnd the fan is loud, since 2026-01-10: it rattles."
		for _, c := range []struct{ kind, text, want string }{
			{"below the answer", answer + "\n\n" + line + "\n\n" + quotedMail + "\n", answer},
			{"below, without an empty line", answer + "\n" + line + "\n" + quotedMail, answer},
			{"above the answer", line + "\n" + quotedMail + "\n\n" + answer, answer},
			{"with CR LF", strings.ReplaceAll(answer+"\n\n"+line+"\n"+quotedMail, "\n", "\r\n"), answer},
		} {
			if got := cutReply(c.text, testOurs); got != c.want {
				t.Errorf("%s, %s:\n%s\nwant\n%s", name, c.kind, got, c.want)
			}
		}
		if !strings.Contains(line, "@") || strings.HasPrefix(line, ">") {
			continue
		}
		if got := cutReply(answer+"\n\n"+line+"\n\n"+unquotedMail, testOurs); got != answer {
			t.Errorf("%s, without marks:\n%s", name, got)
		}
	}
}

// headerBlocks are what Outlook and others write above a quoted mail.
var headerBlocks = map[string]string{
	"en": "From: Fixdesk <fixdesk@fixdesk.test>\nSent: Monday, January 12, 2026 10:30 AM\nTo: Ada <ada@example.com>\nSubject: [Fixdesk #42] Printer",
	"de": "Von: Fixdesk <fixdesk@fixdesk.test>\nGesendet: Montag, 12. Januar 2026 10:30\nAn: Ada <ada@example.com>\nBetreff: [Fixdesk #42] Printer",
	"fr": "De : Fixdesk <fixdesk@fixdesk.test>\nEnvoyé : lundi 12 janvier 2026 10:30\nÀ : Ada <ada@example.com>\nObjet : [Fixdesk #42] Printer",
	"es": "De: Fixdesk <fixdesk@fixdesk.test>\nEnviado: lunes, 12 de enero de 2026 10:30\nPara: Ada <ada@example.com>\nAsunto: [Fixdesk #42] Printer",
	"it": "Da: Fixdesk <fixdesk@fixdesk.test>\nInviato: lunedì 12 gennaio 2026 10:30\nA: Ada <ada@example.com>\nOggetto: [Fixdesk #42] Printer",
	"pt": "De: Fixdesk <fixdesk@fixdesk.test>\nEnviado: segunda-feira, 12 de janeiro de 2026 10:30\nPara: Ada <ada@example.com>\nAssunto: [Fixdesk #42] Printer",
	"nl": "Van: Fixdesk <fixdesk@fixdesk.test>\nVerzonden: maandag 12 januari 2026 10:30\nAan: Ada <ada@example.com>\nOnderwerp: [Fixdesk #42] Printer",
	"sv": "Från: Fixdesk <fixdesk@fixdesk.test>\nSkickat: den 12 januari 2026 10:30\nTill: Ada <ada@example.com>\nÄmne: [Fixdesk #42] Printer",
	"pl": "Od: Fixdesk <fixdesk@fixdesk.test>\nWysłano: poniedziałek, 12 stycznia 2026 10:30\nDo: Ada <ada@example.com>\nTemat: [Fixdesk #42] Printer",
	"ru": "От: Fixdesk <fixdesk@fixdesk.test>\nОтправлено: 12 января 2026 г. 10:30\nКому: Ada <ada@example.com>\nТема: [Fixdesk #42] Printer",
	"cs": "Od: Fixdesk <fixdesk@fixdesk.test>\nOdesláno: pondělí 12. ledna 2026 10:30\nKomu: Ada <ada@example.com>\nPředmět: [Fixdesk #42] Printer",
	"tr": "Gönderen: Fixdesk <fixdesk@fixdesk.test>\nGönderildi: 12 Ocak 2026 Pazartesi 10:30\nKime: Ada <ada@example.com>\nKonu: [Fixdesk #42] Printer",
	"ja": "差出人: Fixdesk <fixdesk@fixdesk.test>\n送信日時: 2026年1月12日 10:30\n宛先: Ada <ada@example.com>\n件名: [Fixdesk #42] Printer",
	"zh": "发件人： Fixdesk <fixdesk@fixdesk.test>\n发送时间： 2026年1月12日 10:30\n收件人： Ada <ada@example.com>\n主题： [Fixdesk #42] Printer",
	"ko": "보낸 사람: Fixdesk <fixdesk@fixdesk.test>\n보낸 날짜: 2026년 1월 12일 월요일 오전 10:30\n받는 사람: Ada <ada@example.com>\n제목: [Fixdesk #42] Printer",
	"fi": "Lähettäjä: Fixdesk <fixdesk@fixdesk.test>\nLähetetty: maanantai 12. tammikuuta 2026 10.30\nVastaanottaja: Ada <ada@example.com>\nAihe: [Fixdesk #42] Printer",
}

func TestHeadersOfAQuotedMailAreCutInEveryLanguage(t *testing.T) {
	const answer = "From the second one.\nBye, Ada"
	for language, headers := range headerBlocks {
		bold := "*" + strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(headers, ": ", ":* "), "：", "：*"), "\n", "\n*")
		for kind, text := range map[string]string{
			"plain":            answer + "\n\n" + headers + "\n\n" + unquotedMail,
			"with a rule":      answer + "\n\n________________________________\n" + headers + "\n\n" + unquotedMail,
			"with a separator": answer + "\n\n-----Original Message-----\n" + headers + "\n\n" + unquotedMail,
			"bold":             answer + "\n\n" + bold + "\n\n" + unquotedMail,
		} {
			if got := cutReply(text, testOurs); got != answer {
				t.Errorf("%s, %s:\n%s", language, kind, got)
			}
		}
	}
}

func TestLinesOfPhonesAreCut(t *testing.T) {
	for _, line := range []string{
		"Sent from my iPhone", "Sent from my Galaxy", "Sent from Outlook for Android<https://aka.ms/AAb9ysg>", "Get Outlook for iOS <https://aka.ms/o0ukef>",
		"Sent from Mail for Windows", "Sent with Proton Mail secure email.", "Gesendet von meinem iPhone", "Von meinem iPhone gesendet", "Gesendet mit der GMX Mail App",
		"Holen Sie sich Outlook für iOS", "Envoyé de mon iPhone", "Envoyé à partir de Outlook pour Android", "Télécharger Outlook pour iOS", "Enviado desde mi iPhone", "Obtener Outlook para iOS",
		"Inviato da iPhone", "Scarica Outlook per Android", "Enviado do meu iPhone", "Obter o Outlook para iOS", "Verstuurd vanaf mijn iPhone", "Verzonden vanaf Outlook voor iOS",
		"Skickat från min iPhone", "Sendt fra min iPhone", "Lähetetty iPhonesta", "Wysłane z iPhone'a", "Pobierz aplikację Outlook dla systemu iOS", "Odesláno z iPhonu",
		"Отправлено с iPhone", "Скачать Outlook для iOS", "Надіслано з iPhone", "iPhone'umdan gönderildi", "iPhoneから送信", "发自我的 iPhone", "從我的 iPhone 傳送\niPhone 发自手机",
		"나의 iPhone에서 보냄", "أُرسلت من الـ iPhone", "נשלח מה-iPhone שלי", "Στάλθηκε από το iPhone μου", "Az iPhone-omról küldve", "Đã gửi từ iPhone của tôi",
		"Отримати Outlook для iOS<https://aka.ms/o0ukef>", "获取 Outlook for iOS<https://aka.ms/o0ukef>", "取得 iOS 版 Outlook", "iOS için Outlook'u edinin", "iOS 版 Outlook を入手",
		"iOS용 Outlook 다운로드", "الحصول على Outlook لـ iOS", "קבל את Outlook עבור iOS", "[Yahoo Mail: Search, Organize, Conquer](https://mail.onelink.me/107872968)",
	} {
		got := cutReply("It works.\n\n"+line, testOurs)
		if want := "It works."; got != want && !strings.Contains(line, "\n") {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func TestWhatIsNotCertainStays(t *testing.T) {
	for name, text := range map[string]string{
		"a sentence like a phone's":        "The mail that I mean:\n\nSent from the office in Berlin, on Monday",
		"only a phone's line":              "Sent from my iPhone",
		"a colon before an own quote":      "The log of the device says this:\n> paper jam in tray 2\nWhat does it mean?",
		"answers between quotes":           "On Mon, 12 Jan 2026 at 10:30, Fixdesk <fixdesk@fixdesk.test> wrote:\n> From which tray?\nThe second.\n> Since when?\nSince Monday.",
		"headers of another mail":          "The vendor says:\n\nFrom: Vendor <help@vendor.example>\nDate: 12 January 2026\nTo: me\nSubject: Your order\n\nThe part is sold out.",
		"another person's sentence":        "My colleague says that on 12 January 2026 Bob wrote:\n\nIt smokes.",
		"dashes":                           "First part\n\n--\n\n1\n2\n3\n4\n5\n6\n7\nSecond part",
		"a separator and no mail":          "Before\n\n-----Original Message-----\n\nafter",
		"an own sentence with the address": "On 12 January 2026 at 10:30 I wrote to fixdesk@fixdesk.test:\n\nPlease mend it.\n\nNobody answered.",
		"answers within the quote":         "My answers are below, in red.\n\n" + headerBlocks["en"] + "\n\nFrom which tray?\n\nThe second.",
		"a sentence above own lines":       "I got this from fixdesk@fixdesk.test:\n> error 5\nWhat is it?",
		"a sentence above a log":           "Your mail from fixdesk@fixdesk.test shows this:\n\nerror 5",
		"a rule":                           "Before\n________________________________\nafter",
		"four headers without ours":        "Von: A\nAn: B\nBetreff: C\nDatum: D\n\nText",
		"words with a colon":               "To: do\nFrom: here\nSubject: matter\n[no Fixdesk here]",
	} {
		if got := cutReply(text, testOurs); got != text {
			t.Errorf("%s:\n%s\nbecame\n%s", name, text, got)
		}
	}
}

func TestSignatureIsCut(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"at the end":            {"It works.\n\n-- \nAda Moreno\nExample Ltd", "It works."},
		"without the blank":     {"It works.\n\n--\nAda Moreno\nExample Ltd", "It works."},
		"above the quote":       {"It works.\n\n-- \nAda\n\nOn 12/01/2026 10:30, Fixdesk wrote:\n> Does it?", "It works."},
		"below the quote":       {"On 12/01/2026 10:30, Fixdesk wrote:\n> Does it?\n\nIt works.\n\n-- \nAda", "It works."},
		"with the quoted one":   {"It works.\n\nOn 12/01/2026 10:30, Fixdesk wrote:\n> Does it?\n> -- \n> Fixdesk", "It works."},
		"only a signature":      {"-- \nAda Moreno", "-- \nAda Moreno"},
		"nothing but the quote": {"On 12/01/2026 10:30, Fixdesk <fixdesk@fixdesk.test> wrote:\n> Does it?", ""},
	} {
		if got := cutReply(c.text, testOurs); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzCutReply(f *testing.F) {
	for _, a := range attributions {
		f.Add("Answer\n\n" + a + "\n" + quotedMail)
	}
	for _, h := range headerBlocks {
		f.Add("Answer\n\n" + h + "\n\n" + unquotedMail)
	}
	f.Add("a\n-- \nb\n> c\nd\n--\n> e")
	f.Fuzz(func(t *testing.T, text string) {
		got := cutReply(text, testOurs)
		whole := normalise(text)
		for line := range strings.SplitSeq(got, "\n") {
			if !strings.Contains(whole, strings.TrimSpace(line)) {
				t.Errorf("%q is not in the mail", line)
			}
		}
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Error("a character was cut")
		}
	})
}
