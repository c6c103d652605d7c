// Package stream takes btrfs's send streams (fs/btrfs/send.h, versions 1 and 2) apart, and makes subvolumes of them.
//
// Owns: the format; which commands a stream of a container's data may have; where they may lead.
// In: a stream from another host or from a backup, which may be an attacker's; a directory to make the subvolume in.
// Out: a read-only subvolume that streams may go on from; an error, and nothing left, if a stream is not whole and sound.
// Never: follows a link of the stream, writes outside the subvolume, makes a device, or gives a file an attribute that means something to
// the host.
package stream

import (
	"errors"

	"hardnode.dev/internal/disk/btrfs"
)

// Kind is what a command does (enum btrfs_send_cmd).
type Kind uint16

// The commands.
const (
	Subvol Kind = iota + 1
	Snapshot
	MkFile
	MkDir
	MkNod
	MkFIFO
	MkSock
	Symlink
	Rename
	Link
	Unlink
	RmDir
	SetXattr
	RemoveXattr
	Write
	Clone
	Truncate
	Chmod
	Chown
	UTimes
	End
	UpdateExtent
	Fallocate
	FileAttr
	EncodedWrite
)

// attr is the type of a part of a command (BTRFS_SEND_A_*).
type attr uint16

const (
	aUUID attr = iota + 1
	aCTransID
	aIno
	aSize
	aMode
	aUID
	aGID
	aRDev
	aCTime
	aMTime
	aATime
	aOTime
	aXattrName
	aXattrData
	aPath
	aPathTo
	aPathLink
	aFileOffset
	aData
	aCloneUUID
	aCloneCTransID
	aClonePath
	aCloneOffset
	aCloneLen
	_ // of Fallocate
	aFileAttr
	attrs // one more than the last
)

// Time is a point in time as a stream has it.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Command is one of a stream's. Only what its kind has is set; Data is good until the next one is read.
type Command struct {
	Kind       Kind
	Path       string // "" is the subvolume's top directory
	To         string // Rename: the new name; Symlink: where it leads; Link: the name that is there
	Name       string // of an attribute
	Data       []byte // of a file, or an attribute
	Size       uint64 // Truncate
	Offset     uint64 // Write, Clone
	Mode       uint64
	RDev       uint64
	UID, GID   uint64
	Atime      Time
	Mtime      Time
	Own        btrfs.Identity // Subvol, Snapshot: what the stream makes
	From       btrfs.Identity // Snapshot: what it begins from; Clone: where the bytes are
	FromPath   string
	FromOffset uint64
	Length     uint64
}

// ErrBroken: the stream is cut short, has been changed, or is none.
var ErrBroken = errors.New("the stream is broken")

// The bounds of a stream.
const (
	magic       = "btrfs-stream\x00"
	maxVersion  = 2
	maxCommand  = 256 << 10 // bytes; the kernel's own commands have 144 KiB at most (BTRFS_SEND_BUF_SIZE_V2)
	maxPath     = 4095
	maxName     = 255
	maxXattr    = 64 << 10
	headerBytes = 10 // struct btrfs_cmd_header: length, kind, checksum
)

// form is what a command must have, and may have besides.
type form struct{ must, may []attr }

// forms are the commands that are taken. What is not here is none that a host sends: UpdateExtent stands for data that was left out,
// EncodedWrite for data as it lay compressed on the sender's disk, and the kernel has no use for Fallocate.
var forms = [...]form{
	Subvol:      {must: []attr{aPath, aUUID, aCTransID}},
	Snapshot:    {must: []attr{aPath, aUUID, aCTransID, aCloneUUID, aCloneCTransID}},
	MkFile:      {must: []attr{aPath}, may: []attr{aIno}},
	MkDir:       {must: []attr{aPath}, may: []attr{aIno}},
	MkNod:       {must: []attr{aPath, aMode, aRDev}, may: []attr{aIno}},
	MkFIFO:      {must: []attr{aPath}, may: []attr{aIno, aMode, aRDev}},
	MkSock:      {must: []attr{aPath}, may: []attr{aIno, aMode, aRDev}},
	Symlink:     {must: []attr{aPath, aPathLink}, may: []attr{aIno}},
	Rename:      {must: []attr{aPath, aPathTo}},
	Link:        {must: []attr{aPath, aPathLink}},
	Unlink:      {must: []attr{aPath}},
	RmDir:       {must: []attr{aPath}},
	SetXattr:    {must: []attr{aPath, aXattrName, aXattrData}},
	RemoveXattr: {must: []attr{aPath, aXattrName}},
	Write:       {must: []attr{aPath, aFileOffset, aData}},
	Clone:       {must: []attr{aPath, aFileOffset, aCloneLen, aCloneUUID, aCloneCTransID, aClonePath, aCloneOffset}},
	Truncate:    {must: []attr{aPath, aSize}},
	Chmod:       {must: []attr{aPath, aMode}},
	Chown:       {must: []attr{aPath, aUID, aGID}},
	UTimes:      {must: []attr{aPath, aATime, aMTime, aCTime}, may: []attr{aOTime}},
	End:         {},
	FileAttr:    {must: []attr{aPath, aFileAttr}},
}
