class KeyRing:
    def __init__(self, current, overlapping=(), retired=()):
        self.current = current
        self.verifier_key = current.verifier_key
        self.verifier_keys = [current.verifier_key]
        self.name = self.verifier_key.name

    def sign(self, text):
        return self.current.sign(text)
