package attachment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fixdesk/services/crm/internal/crmdb"
)

const (
	scanInterval = 15 * time.Second
	scanBatch    = 20
	// scanAgainAfter is how long a content waits that could not be scanned, while
	// others are.
	scanAgainAfter = time.Minute
)

// RunScan scans contents that were not scanned yet, or marks them as off when there
// is no scanner. It reports whether more may be left. A content that can't be scanned
// stays pending, and is tried again a minute later.
func (s *Service) RunScan(ctx context.Context) (again bool, err error) {
	if s.Clamd == "" {
		n, err := s.q.AttachmentScanOff(ctx, scanBatch)
		if err != nil {
			return false, fmt.Errorf("mark contents as not scanned: %w", err)
		}
		return n == scanBatch, nil
	}
	next, err := s.q.AttachmentScanNext(ctx, crmdb.AttachmentScanNextParams{TriedBefore: s.Now().Add(-scanAgainAfter), Most: scanBatch})
	if err != nil {
		return false, fmt.Errorf("list contents to scan: %w", err)
	}
	var failed error
	for _, content := range next {
		failed = errors.Join(failed, s.scanOne(ctx, content))
		if ctx.Err() != nil {
			break
		}
	}
	return len(next) == scanBatch && failed == nil, failed
}

func (s *Service) scanOne(ctx context.Context, content crmdb.AttachmentScanNextRow) error {
	result, cause := s.scanContent(ctx, content)
	if cause != nil {
		result = ScanPending
	}
	if err := s.q.AttachmentScanned(ctx, crmdb.AttachmentScannedParams{ID: content.ID, Scan: crmdb.AttachmentScan(result), Now: s.Now()}); err != nil {
		return fmt.Errorf("store the result of a scan: %w", err)
	}
	if cause != nil {
		return fmt.Errorf("scan content %s: %w", content.ID, cause)
	}
	if result == ScanInfected {
		s.Log.WarnContext(ctx, "the scanner found malware in a file", "content", content.ID.String())
	}
	return nil
}

func (s *Service) scanContent(ctx context.Context, content crmdb.AttachmentScanNextRow) (_ Scan, err error) {
	b, err := s.stores.of(content.Store)
	if err != nil {
		return "", err
	}
	file, err := b.open(ctx, content.Object, content.Size)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	return s.scanner.scan(ctx, file)
}
