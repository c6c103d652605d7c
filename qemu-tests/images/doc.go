// Package images runs what real people bring: PostgreSQL, MariaDB, Node and Python as anybody would put them into an OCI image.
//
// Owns: the images, built from Debian packages by the test itself and cached in out/cache/brought, and what each must survive.
// In: mmdebstrap and the package archive; a cluster of one host.
// Out: for each image: imported, created, logs, limits seen inside, stopped by its own signal, started again and restarted with its data.
// Never: uses anything an image's owner could not: hnctl, the resolver and the image's own tools only.
package images
