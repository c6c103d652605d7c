package hold

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
)

// stateName is the records' name in init's descriptor store.
const stateName = "spawner.records"

// stored is what a successor must know.
type stored struct {
	Seq     int64         `json:"seq"`
	Records []call.Record `json:"records"`
}

// state keeps records in a memfd that outlives the process. It has two halves, written in turn, each with a number and a checksum:
// a spawner killed while it writes leaves the other half good.
type state struct {
	file  *os.File
	turn  uint64 // number of the last good half
	value stored
}

const (
	halfBytes = 8 << 20
	halfHead  = 8 + 8 + sha256.Size // number, length, checksum of the body
)

func newState() (*state, error) {
	fd, err := unix.MemfdCreate(stateName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make memfd: %v", err)
	}
	return &state{file: os.NewFile(uintptr(fd), stateName)}, nil
}

// openState reads the newer good half.
func openState(f *os.File) (*state, error) {
	s := &state{file: f}
	for half := range int64(2) {
		n, v, err := readHalf(f, half*halfBytes)
		if err == nil && n > s.turn {
			s.turn, s.value = n, v
		}
	}
	return s, nil
}

func readHalf(f io.ReaderAt, at int64) (uint64, stored, error) {
	var head [halfHead]byte
	if _, err := f.ReadAt(head[:], at); err != nil {
		return 0, stored{}, fmt.Errorf("read records: %v", err)
	}
	size := binary.BigEndian.Uint64(head[8:])
	if size > halfBytes-halfHead {
		return 0, stored{}, errors.New("read records: length is out of range")
	}
	body := make([]byte, size)
	if _, err := f.ReadAt(body, at+halfHead); err != nil {
		return 0, stored{}, fmt.Errorf("read records: %v", err)
	}
	if sha256.Sum256(body) != [sha256.Size]byte(head[16:]) {
		return 0, stored{}, errors.New("read records: checksum does not match")
	}
	var v stored
	if err := json.Unmarshal(body, &v); err != nil {
		return 0, stored{}, fmt.Errorf("read records: %v", err)
	}
	return binary.BigEndian.Uint64(head[:]), v, nil
}

func (s *state) save(v stored) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode records: %v", err)
	}
	if len(body) > halfBytes-halfHead {
		return fmt.Errorf("keep records: %d bytes, at most %d fit", len(body), halfBytes-halfHead)
	}
	turn := s.turn + 1
	b := binary.BigEndian.AppendUint64(nil, turn)
	b = binary.BigEndian.AppendUint64(b, uint64(len(body)))
	sum := sha256.Sum256(body)
	b = append(append(b, sum[:]...), body...)
	if _, err := s.file.WriteAt(b, int64(turn%2)*halfBytes); err != nil {
		return fmt.Errorf("keep records: %v", err)
	}
	s.turn, s.value = turn, v
	return nil
}
