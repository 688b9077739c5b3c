package account

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// memory remembers a bounded number of accounts, and when each was noted. Accounts
// themselves exist only while they are in use.
type memory struct {
	mu    sync.Mutex
	noted *simplelru.LRU[key, time.Time]
}

// maxRemembered is the number of accounts that a memory remembers. Each takes about 200 bytes.
const maxRemembered = 4096

// provedFor is how long an account without connections is still known to have proved a
// password. It outlasts a restart of all clients behind one address.
const provedFor = time.Hour

func newMemory() *memory {
	noted, err := simplelru.NewLRU[key, time.Time](maxRemembered, nil)
	if err != nil {
		panic(fmt.Sprintf("BUG: an LRU of %d accounts: %v", maxRemembered, err))
	}
	return &memory{noted: noted}
}

// note remembers an account. When there are too many, the account that was noted or asked for
// the longest time ago is forgotten.
func (m *memory) note(k key, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noted.Add(k, now)
}

// at returns when the account was noted, or the zero time.
func (m *memory) at(k key) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, _ := m.noted.Get(k)
	return at
}
