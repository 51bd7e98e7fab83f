class DatabaseTokenStore:
    def __init__(self, database):
        pass
