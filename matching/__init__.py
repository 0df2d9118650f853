"""Who should be asked next, and who won: pure rules, one service (`HelpDesk`), and the ports it needs."""
