package pg

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// registerTypes makes a connection read times in UTC and uuid.UUID in its 16
// bytes; pgx by itself would use text and database/sql's interfaces.
func registerTypes(types *pgtype.Map) {
	register := func(name, arrayName string, oid, arrayOID uint32, codec pgtype.Codec) {
		element := &pgtype.Type{Name: name, OID: oid, Codec: codec}
		types.RegisterType(element)
		types.RegisterType(&pgtype.Type{Name: arrayName, OID: arrayOID, Codec: &pgtype.ArrayCodec{ElementType: element}})
	}
	register("timestamptz", "_timestamptz", pgtype.TimestamptzOID, pgtype.TimestamptzArrayOID,
		&pgtype.TimestamptzCodec{ScanLocation: time.UTC})
	register("uuid", "_uuid", pgtype.UUIDOID, pgtype.UUIDArrayOID, uuidCodec{})
	types.RegisterDefaultPgType(uuid.UUID{}, "uuid")
	types.RegisterDefaultPgType([]uuid.UUID{}, "_uuid")
}

// uuidCodec adds uuid.UUID in the binary format to pgx's own codec.
type uuidCodec struct{ pgtype.UUIDCodec }

func (c uuidCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(uuid.UUID); ok && format == pgtype.BinaryFormatCode {
		return encodeUUID{}
	}
	return c.UUIDCodec.PlanEncode(m, oid, format, value)
}

func (c uuidCodec) PlanScan(m *pgtype.Map, oid uint32, format int16, target any) pgtype.ScanPlan {
	if _, ok := target.(*uuid.UUID); ok && format == pgtype.BinaryFormatCode {
		return scanUUID{}
	}
	return c.UUIDCodec.PlanScan(m, oid, format, target)
}

func (c uuidCodec) DecodeValue(m *pgtype.Map, oid uint32, format int16, src []byte) (any, error) {
	value, err := c.UUIDCodec.DecodeValue(m, oid, format, src)
	if bytes, ok := value.([16]byte); ok {
		return uuid.UUID(bytes), err
	}
	return value, err
}

type encodeUUID struct{}

func (encodeUUID) Encode(value any, buf []byte) ([]byte, error) {
	id := value.(uuid.UUID)
	return append(buf, id[:]...), nil
}

type scanUUID struct{}

func (scanUUID) Scan(src []byte, target any) error {
	if src == nil {
		return fmt.Errorf("cannot scan NULL into %T", target)
	}
	if len(src) != 16 {
		return fmt.Errorf("a uuid has 16 bytes, got %d", len(src))
	}
	copy(target.(*uuid.UUID)[:], src)
	return nil
}
