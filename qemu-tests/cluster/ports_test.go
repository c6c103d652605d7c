package cluster

import "testing"

func TestChoosePorts(t *testing.T) {
	usual := Ports{API: 17443, Hosts: 17444, Registry: 17445, JLS: 17446, Pages: 17480, Secure: 17483}
	got, err := ChoosePorts(func(int) bool { return true })
	if err != nil || got != usual {
		t.Errorf("with all ports free: got %+v, %v", got, err)
	}
	got, err = ChoosePorts(func(p int) bool { return p != 17443 && p != 17480 })
	want := usual
	want.API, want.Pages = 17447, 17481 // not 17444 to 17446: those are someone's usual ones
	if err != nil || got != want {
		t.Errorf("with two taken: got %+v, %v, want %+v", got, err, want)
	}
	for _, row := range got.Table() {
		if row.Usual != (row.Guest != 7443 && row.Guest != 80) {
			t.Errorf("row %+v: Usual is wrong", row)
		}
	}
	if _, err := ChoosePorts(func(int) bool { return false }); err == nil {
		t.Error("with no port free there is no error")
	}
}
