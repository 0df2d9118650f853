"""How two people are brought into one call and kept there: pure rules, one service (`Switchboard`), and its ports."""
