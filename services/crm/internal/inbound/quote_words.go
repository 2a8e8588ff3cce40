package inbound

import (
	"regexp"
	"strings"
)

type headerName string

const (
	headerFrom    headerName = "from"
	headerSent    headerName = "sent"
	headerTo      headerName = "to"
	headerSubject headerName = "subject"
)

// headerNames are the headers that mail programs write above a quoted mail, in lower
// case.
var headerNames = func() map[string]headerName {
	names := map[string]headerName{}
	for name, list := range map[headerName]string{
		headerFrom: `from|von|de|expéditeur|da|mittente|remitente|remetente|van|afzender|från|fra|frá|lähettäjä|saatja|no|nuo|od|odesílatel|nadawca|
			от|від|от кого|feladó|de la|από|kimden|gönderen|מאת|من|差出人|送信者|发件人|發件人|寄件者|寄件人|보낸 사람|보낸사람|từ|จาก|प्रेषक`,
		headerSent: `sent|date|gesendet|datum|gesendet am|envoyé|envoyé le|enviado|enviado el|enviada em|enviado em|fecha|inviato|data|data invio|
			verzonden|verzonden op|skickat|sendt|dato|lähetetty|päivämäärä|päiväys|saadetud|kuupäev|sūtīts|išsiųsta|wysłano|wysłane|odesláno|odoslané|dátum|
			отправлено|дата|надіслано|elküldve|trimis|ημερομηνία|στάλθηκε|gönderildi|tarih|gönderme tarihi|נשלח|תאריך|أرسلت|تاريخ الإرسال|التاريخ|
			送信日時|日付|日時|发送时间|发送日期|日期|傳送時間|寄件日期|보낸 날짜|날짜|보낸날짜|ngày|đã gửi|ส่งเมื่อ|วันที่|दिनांक`,
		headerTo: `to|an|à|a|para|aan|till|til|vastaanottaja|adressaat|kam|do|komu|кому|címzett|către|προς|kime|alıcı|אל|إلى|
			宛先|收件人|收件者|받는 사람|받는사람|đến|ถึง|destinatario|destinataire|destinatário`,
		headerSubject: `subject|betreff|objet|asunto|oggetto|assunto|onderwerp|ämne|emne|efni|aihe|teema|temats|tema|temat|předmět|predmet|
			тема|tárgy|subiect|θέμα|konu|נושא|الموضوع|件名|主题|主旨|제목|chủ đề|เรื่อง|विषय`,
	} {
		for label := range strings.SplitSeq(list, "|") {
			names[strings.ToLower(strings.Join(strings.Fields(label), " "))] = name
		}
	}
	return names
}()

// saysWords match "wrote" in the attributions of mail programs.
var saysWords = regexp.MustCompile(`(?i)(?:^|[^\pL])(?:wrote|writes|schrieb|schrieben|schreef|skrev|skreiv|skrifaði|kirjoitti|kirjutas|rakstīja|rašė|` +
	`a écrit|écrit|écrivait|escribió|escribio|escreveu|ha scritto|scritto|scrisse|a scris|` +
	`napisał\(?a?\)?|napisała|pisze|napsal\(?a?\)?|napísal\(?a?\)?|napisao|je napisao\(?la\)?|napisal|` +
	`написал\(?а?\)?|пишет|написав|пише|написа|ezt írta|írta|έγραψε|yazdı|كتب|كتبت|כתב|כתבה|đã viết|เขียนว่า|ने लिखा)(?:[^\pL]|$)` +
	`|写道|寫道|は書きました|さんのメール|님이 작성|작성:|מאת`)

// quotesWords match the beginning of an attribution that has no "wrote".
var quotesWords = regexp.MustCompile(`(?i)^(?:quoting|zitat von|citando|citeren|citerar|citation de|quota di|cytat|citace|цитирую|alıntı)\s`)

// belowWords match what people write above a quoted mail into which they put their
// answers: "see my answers below, in red".
var belowWords = regexp.MustCompile(`(?i)(?:^|[^\pL])(?:in-?line|below|in (?:red|blue|green)|unten|in (?:rot|blau|grün)|ci-dessous|plus bas|en (?:rouge|bleu)|abajo|en (?:rojo|azul)|` +
	`sotto|di seguito|in (?:rosso|blu)|abaixo|em (?:vermelho|azul)|hieronder|in het (?:rood|blauw)|poniżej|na czerwono|níže|červeně|nedan|i rött|nedenfor|alla|punaisella|` +
	`ниже|красным|нижче|червоним|aşağıda|kırmızı|lent|pirossal|mai jos|παρακάτω|أدناه|بالأحمر|למטה|באדום|bên dưới)(?:[^\pL]|$)|下記|以下に|赤字|下面|以下|红色|紅色|红字|아래|빨간`)

// attributionBegins matches the beginning of an attribution that is wrapped before
// its year.
var attributionBegins = regexp.MustCompile(`(?i)^(?:on|am|le|el|il giorno|il|em|op|den|dnia|w dniu|dne|в|στις|pe|în data|a|vào|ma|ti|ke|to|pe|la|su)\s+\S+|^(?:mon|tue|wed|thu|fri|sat|sun)|^\d{1,4}`)

// phoneBegins and phoneDevice together match the lines that phones and apps add below
// an answer.
var (
	phoneBegins = regexp.MustCompile(`(?i)^(?:sent (?:from|with|via|using)|get |gesendet |von mein|diese nachricht wurde|mit .{0,30} gesendet|holen sie sich|envoy|télécharge|obtenez|obtener|consigue|` +
		`envi(?:ado|ada) |inviato |scarica |ottieni |baixe|obter |obtenha |verzonden |verstuurd |download |outlook |skickat |hämta |sendt |hent |lähetetty |hanki |saadetud |` +
		`wysłan|pobierz|odesláno|odoslané|získat|отправлено|скачать|получить|надіслано|elküldve|az? .{0,20}-?(?:emről|ról)|trimis|στάλθηκε|απεσταλμένο|gönderildi|` +
		`أُ?رسلت?|تم الإرسال|נשלח|iphone|ipad|android|スマ|发自|發自|从|傳送自|寄自|나의|내 |đã gửi|ส่งจาก|मेरे|\[?yahoo mail:|отримати |获取|獲取|取得|الحصول على|קבל את|ios ?(?:için|版|용))|から送信$|에서 보냄$|gönderildi\.?$|gesendet\.?$|küldve\.?$`)
	phoneDevice = regexp.MustCompile(`(?i)iphon|ipad|i-phone|android|samsung|galaxy|huawei|xiaomi|redmi|pixel|oneplus|blackberry|nokia|windows phone|` +
		`outlook|gmail|yahoo|proton|gmx|web\.de|mail for windows|mail für windows|mail pour windows|mail app|mail-app|smartphone|handy|mobiltelefon|mobil|mobile|mobilní|móvil|cellulare|téléphone|telefon|telefoon|` +
		`tablet|телефон|смартфон|айфон|携帯|スマートフォン|手机|手機|휴대|điện thoại|هاتف|اَيْفون|הנייד|האייפון|κινητό`)
)
