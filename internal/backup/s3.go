package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/internal/run"
)

// store is a place in an S3 store (Amazon S3's REST API, version 2006-03-01, with path-style addresses), which is asked for four things.
// The libraries for it are megabytes: this is what they would be used for.
type store struct {
	base                   *url.URL
	bucket, prefix, region string
	id, secret, token      string
	client                 http.Client
	pause                  time.Duration // before the second try, then twice as long; 0 is a second
}

// callWithin bounds one call, and tries is how often a failing one is made.
const (
	callWithin = 5 * time.Minute
	tries      = 4
)

func (s *store) Put(ctx context.Context, name string, data []byte) error {
	_, err := s.call(ctx, http.MethodPut, name, nil, data, 1<<16)
	return err
}

func (s *store) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	return s.call(ctx, http.MethodGet, name, nil, nil, most)
}

func (s *store) Delete(ctx context.Context, name string) error {
	_, err := s.call(ctx, http.MethodDelete, name, nil, nil, 1<<16)
	return err
}

func (s *store) List(ctx context.Context, prefix string) (names []string, err error) {
	q := url.Values{"list-type": {"2"}, "prefix": {s.prefix + prefix}}
	for {
		raw, err := s.call(ctx, http.MethodGet, "", q, nil, 16<<20)
		if err != nil {
			return nil, err
		}
		var page struct { // ListBucketResult
			Contents              []struct{ Key string }
			IsTruncated           bool
			NextContinuationToken string
		}
		if err := xml.Unmarshal(raw, &page); err != nil {
			return nil, fmt.Errorf("list %q: the store's answer is no list: %v", prefix, err)
		}
		for _, c := range page.Contents {
			if name, ok := strings.CutPrefix(c.Key, s.prefix); ok {
				names = append(names, name)
			}
		}
		if !page.IsTruncated || page.NextContinuationToken == "" {
			slices.Sort(names)
			return names, nil
		}
		q.Set("continuation-token", page.NextContinuationToken)
	}
}

// call makes a request, again if the store or the way there fails. name "" is the bucket.
func (s *store) call(ctx context.Context, method, name string, q url.Values, body []byte, most int64) (answer []byte, err error) {
	for try := range tries {
		if try > 0 && !run.Wait(ctx, cmp.Or(s.pause, time.Second)<<(try-1)) {
			break
		}
		var again bool
		answer, again, err = s.once(ctx, method, name, q, body, most)
		if err == nil || !again || ctx.Err() != nil {
			break
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s/%s%s: %w", method, s.bucket, s.prefix, name, err)
	}
	return answer, nil
}

// once makes it once; again tells whether another try may do better.
func (s *store) once(ctx context.Context, method, name string, q url.Values, body []byte, most int64) (answer []byte, again bool,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	path := "/" + s.bucket
	if name != "" {
		path += "/" + s.prefix + name
	}
	u := *s.base
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+path, ""
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	s.sign(req, sha256.Sum256(body), time.Now())
	res, err := s.client.Do(req)
	if err != nil {
		return nil, true, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound && method == http.MethodGet && name != "":
		return nil, false, fs.ErrNotExist
	case res.StatusCode/100 != 2:
		raw, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16))
		var e struct{ Code, Message string }
		xml.Unmarshal(raw, &e) // nothing is left empty
		err := fmt.Errorf("the store answers %s %s %s", strconv.Itoa(res.StatusCode), e.Code, e.Message)
		return nil, res.StatusCode/100 == 5 || res.StatusCode == http.StatusTooManyRequests, err
	}
	answer, err = bounded(res.Body, name, most)
	return answer, err != nil && int64(len(answer)) <= most, err
}

// sign adds a signature of version 4 (AWS Signature Version 4, signed payload).
func (s *store) sign(req *http.Request, body [sha256.Size]byte, now time.Time) {
	stamp, sum := now.UTC().Format("20060102T150405Z"), hex.EncodeToString(body[:])
	req.Header.Set("X-Amz-Date", stamp)
	req.Header.Set("X-Amz-Content-Sha256", sum)
	if s.token != "" {
		req.Header.Set("X-Amz-Security-Token", s.token)
	}
	headers := map[string]string{"host": req.URL.Host}
	for name, v := range req.Header {
		headers[strings.ToLower(name)] = strings.TrimSpace(v[0])
	}
	names := make([]string, 0, len(headers))
	for n := range headers {
		names = append(names, n)
	}
	slices.Sort(names)
	var lines strings.Builder
	for _, n := range names {
		lines.WriteString(n + ":" + headers[n] + "\n")
	}
	signed := strings.Join(names, ";")
	canonical := strings.Join([]string{req.Method, req.URL.EscapedPath(), req.URL.RawQuery, lines.String(), signed, sum}, "\n")
	scope := stamp[:8] + "/" + s.region + "/s3/aws4_request"
	of := sha256.Sum256([]byte(canonical))
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(of[:])
	key := []byte("AWS4" + s.secret)
	for _, part := range []string{stamp[:8], s.region, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.id+"/"+scope+",SignedHeaders="+signed+",Signature="+
		hex.EncodeToString(mac(key, text)))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
