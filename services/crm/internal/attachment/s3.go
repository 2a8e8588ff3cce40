package attachment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket keeps objects in a bucket of S3 or a server with its protocol.
type bucket struct {
	client       *minio.Client
	name, prefix string
}

// S3Keys are the credentials for all buckets. Without them, those of the
// environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or of the machine are used.
type S3Keys struct{ Access, Secret string }

func newBucket(u storeURL, keys S3Keys) (*bucket, error) {
	source := credentials.NewStaticV4(keys.Access, keys.Secret, "")
	if keys.Access == "" {
		source = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.IAM{}})
	}
	client, err := minio.New(u.endpoint, &minio.Options{Creds: source, Secure: u.secure, Region: u.region})
	if err != nil {
		return nil, fmt.Errorf("open the bucket: %w", err)
	}
	return &bucket{client: client, name: u.host, prefix: u.path}, nil
}

func (b *bucket) key(object uuid.UUID) string { return path.Join(b.prefix, object.String()) }

// write receives the whole object in a temporary file first: a request to the server
// needs its size, and an upload in parts would need 5 MiB of memory for each.
func (b *bucket) write(ctx context.Context, object uuid.UUID, r io.Reader) (err error) {
	spool, err := os.CreateTemp("", "fixdesk-upload-")
	if err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	if err := os.Remove(spool.Name()); err != nil { // the open file remains
		return fmt.Errorf("make a temporary file: %w", err)
	}
	size, err := io.Copy(spool, r)
	if err != nil {
		return err
	}
	if size == 0 {
		return nil // some servers refuse an empty object; open needs none
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read a temporary file: %w", err)
	}
	_, err = b.client.PutObject(ctx, b.name, b.key(object), spool, size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", DisableMultipart: true,
	})
	if err != nil {
		return fmt.Errorf("put an object: %w", err)
	}
	return nil
}

func (b *bucket) open(ctx context.Context, object uuid.UUID, size int64) (io.ReadSeekCloser, error) {
	if size == 0 {
		return emptyFile{bytes.NewReader(nil)}, nil
	}
	o, err := b.client.GetObject(ctx, b.name, b.key(object), minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("get an object: %w", err)
	}
	info, err := o.Stat()
	if err == nil && info.Size != size {
		err = fmt.Errorf("it has %d bytes instead of %d", info.Size, size)
	}
	if err != nil {
		return nil, fmt.Errorf("get an object: %w", errors.Join(err, o.Close()))
	}
	return o, nil
}

// emptyFile is an object without bytes.
type emptyFile struct{ *bytes.Reader }

// Close does nothing.
func (emptyFile) Close() error { return nil }

func (b *bucket) remove(ctx context.Context, object uuid.UUID) error {
	if err := b.client.RemoveObject(ctx, b.name, b.key(object), minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("remove an object: %w", err)
	}
	return nil
}
