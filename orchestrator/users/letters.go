package users

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/idp"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/store"
)

// until is a moment as letters say it.
func until(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// letter carries a link.
func (d *Desk) letter(l store.Link, at string) mail.Letter {
	out := mail.Letter{To: l.Mail, For: l.Kind.Life()}
	tail := fmt.Sprintf("\n\n%s\n\nThe link works once, until %s. ", at, until(l.Until))
	switch l.Kind {
	case user.LinkInvite:
		out.Subject = fmt.Sprintf("Invitation to account %s of %s", l.Account, d.Cluster)
		out.Text = fmt.Sprintf("%s invites you into account %s of cluster %s, as %s. To accept, open this page:", l.By, l.Account,
			d.Cluster, l.Role) + tail + "If you know nothing of it, leave it: nothing happens.\n"
	case user.LinkReset:
		out.Subject = "New password for " + d.Cluster
		out.Text = fmt.Sprintf("A new password was asked for %s at cluster %s. To choose one, open this page:", l.Mail, d.Cluster) + tail +
			"Until then your password stays as it is. If it was not you who asked, leave it: nothing happens.\n"
	case user.LinkSignUp:
		out.Subject = "Your account at " + d.Cluster
		out.Text = fmt.Sprintf("An account at cluster %s was asked for with your mail address. To make it, open this page:", d.Cluster) +
			tail + "If it was not you who asked, leave it: nothing happens.\n"
	}
	return out
}

// changed says that a password was replaced by a link.
func (d *Desk) changed(to string) mail.Letter {
	return mail.Letter{To: to, For: 24 * time.Hour, Notice: true, Subject: "Your password for " + d.Cluster + " was changed",
		Text: fmt.Sprintf("The password of %s at cluster %s was changed at %s, by a link that was made for it. All your sessions "+
			"have ended; tokens that you made go on.\n\nIf it was not you, ask an owner of your account at once.\n", to, d.Cluster,
			until(d.Now()))}
}

// hasOne tells somebody who wants an account that they are a user already.
func (d *Desk) hasOne(to string) mail.Letter {
	return mail.Letter{To: to, For: time.Hour, Subject: "Your account at " + d.Cluster,
		Text: fmt.Sprintf("An account at cluster %s was asked for with your mail address, which is that of a user already. Sign in, or "+
			"say on the sign-in page that you forgot your password. If it was not you who asked, leave it: nothing happens.\n", d.Cluster)}
}

// bound says that somebody signs in with the identity provider from now on.
func (d *Desk) bound(to string, c idp.Claim) mail.Letter {
	as := ""
	if c.Mail != "" {
		as = " (" + c.Mail + " there)"
	}
	return mail.Letter{To: to, For: 24 * time.Hour, Notice: true, Subject: "Sign-in with " + c.Name + " at " + d.Cluster,
		Text: fmt.Sprintf("Since %s the user %s at cluster %s is signed in by %s too%s.\n\nIf it was not you who did this, ask those who "+
			"run the cluster at once: hnctl identity reset ends it.\n", until(d.Now()), to, d.Cluster, c.Name, as)}
}

// passkeyAdded says that somebody signs in with a passkey from now on.
func (d *Desk) passkeyAdded(to string, p store.Passkey) mail.Letter {
	return mail.Letter{To: to, For: 24 * time.Hour, Notice: true, Subject: "New passkey at " + d.Cluster,
		Text: fmt.Sprintf("Since %s the passkey %q signs %s in at cluster %s (%s), without a password.\n\nIf it was not you who added it, "+
			"change your password and remove it at your page of the panel, or ask those who run the cluster at once: hnctl passkey "+
			"reset removes all of them.\n", until(d.Now()), p.Name, to, d.Cluster, p.RP)}
}

// passkeyGone says that a passkey signs nobody in any more.
func (d *Desk) passkeyGone(to, what string) mail.Letter {
	return mail.Letter{To: to, For: 24 * time.Hour, Notice: true, Subject: "Passkey removed at " + d.Cluster,
		Text: fmt.Sprintf("%s of %s at cluster %s was removed at %s; it signs nobody in any more.\n\nIf it was neither you nor those who "+
			"run the cluster, change your password at once.\n", what, to, d.Cluster, until(d.Now()))}
}

// passkeyTwice says that there may be a copy of a passkey.
func (d *Desk) passkeyTwice(to string, p store.Passkey, from string) mail.Letter {
	return mail.Letter{To: to, For: 24 * time.Hour, Notice: true, Subject: "A passkey was refused at " + d.Cluster,
		Text: fmt.Sprintf("At %s somebody at %s signed in to cluster %s with the passkey %q of %s, and was refused: its count of "+
			"signatures went back, so that there may be a copy of it.\n\nRemove it, and make a new one.\n", until(d.Now()), place(from),
			d.Cluster, p.Name, to)}
}
